"""The strict reader and the checks, held against an oracle on random declarations: sound, wrong in one way, damaged.

Seed policy: the examples are the same in every run (hypothesis derandomized), so that a failure is the change's. With
CGC_RANDOM_SEEDS set they are new ones in every run, to look further; a failure prints the shape and the seed it shrank
to, and those make the declaration again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from inventories import load_nation
from inventories.model import Interface, Nation, Role, Tunnel
from inventories.reading import DeclarationRefusedError, Problem
from tests.inventories.declarations import TODAY, Draft, Shape, draft_of, seeds, shapes, store, texts_of
from tests.inventories.mistakes import MISTAKES, Mistake, Texts, damage
from tests.inventories.oracle import judge, plan_of

pytestmark = pytest.mark.slow

SOUND = 1_000
EXAMPLES_OF_A_MISTAKE = 10
DAMAGED, DAMAGES_OF_EACH = 250, 4
IN_MEMORY = Path("/dev/shm")


def examples(count: int) -> settings:
    """Return settings for so many examples."""
    return settings(
        max_examples=count,
        deadline=None,  # the machine may be busy
        database=None,
        derandomize="CGC_RANDOM_SEEDS" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow],  # an example is a whole declaration
    )


@contextmanager
def written(draft: Draft, texts: Texts) -> Iterator[Path]:
    """Store a declaration for as long as it is looked at, and see that nobody writes there."""
    root = Path(tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
    try:
        directory = store(draft, texts, root)
        before = tree_of(root)
        yield directory
        assert tree_of(root) == before, "somebody wrote into the declaration"
    finally:
        shutil.rmtree(root)


def tree_of(root: Path) -> dict[Path, tuple[int, int]]:
    """Return everything below a directory, with the time of its last change and its size."""
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


def load(directory: Path) -> Nation | tuple[Problem, ...]:
    """Return the nation, or why it was refused."""
    try:
        return load_nation(directory, today=TODAY)
    except DeclarationRefusedError as refusal:
        return refusal.problems


def assert_well_placed(problems: tuple[Problem, ...]) -> None:
    """Every problem says what, what next, and where: a line that is there, unless it is the file that is missing."""
    assert problems
    for problem in problems:
        file, _, line = problem.place.rpartition(":")
        assert problem.what
        assert problem.remedy
        if Path(file).exists():
            assert 1 <= int(line) <= max(1, len(Path(file).read_bytes().splitlines())), problem
        else:
            assert (problem.code, line) == ("CGC-101", "1"), problem


def assert_addresses_differ(nation: Nation, draft: Draft) -> None:
    """Assert that it expands: every unit has its number, and no two nodes have a name or an address in common."""
    numbers = {site.code: site.number for site in nation.sites if site.unit is not None}
    assert numbers == plan_of(draft.rows, draft.overrides)
    nodes = list(nation.nodes)
    for address in ("name", "number", "loopback", "management"):
        assert len({getattr(node, address) for node in nodes}) == len(nodes), address
    own_numbers = Counter(node.as_number for node in nodes if node.role is not Role.CORE)  # a plane's cores share one
    assert own_numbers.keys().isdisjoint(plane.as_number for plane in nation.planes)
    assert max(own_numbers.values()) == 1
    seen: Counter[str] = Counter()
    for node in nodes:
        ends: tuple[Interface | Tunnel, ...] = (*node.interfaces, *node.tunnels)
        seen.update(str(address) for end in ends for address in (end.ipv4, end.ipv6))
        names = [end.name for end in ends]
        assert len(set(names)) == len(names), node.name
    assert max(seen.values()) == 1
    assert len({link.name for link in nation.links}) == len(nation.links)


@examples(SOUND)
@given(shapes(), seeds)
def test_a_sound_declaration_is_accepted(shape: Shape, seed: int) -> None:
    """Whatever a declaration has and however it is written, the reader and the oracle find nothing wrong in it."""
    rng = Random(seed)  # noqa: S311 - a test's choice
    draft = draft_of(shape, rng)
    with written(draft, dict(texts_of(draft, rng))) as directory:
        assert judge(directory, TODAY) == []
        nation = load(directory)
        assert isinstance(nation, Nation), nation
        assert_addresses_differ(nation, draft)


def test_there_are_enough_mistakes() -> None:
    """The catalogue of mistakes does not shrink unseen."""
    assert len(MISTAKES) >= 45
    assert len(MISTAKES) * EXAMPLES_OF_A_MISTAKE >= 1_000


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_at_its_line(name: str) -> None:
    """One mistake anywhere in a sound declaration is refused by code and line, with a remedy; by the oracle, too."""
    tried: list[tuple[Shape, int]] = []

    @examples(EXAMPLES_OF_A_MISTAKE)
    @given(shapes(**MISTAKES[name].needs), seeds)
    def refuses(shape: Shape, seed: int) -> None:
        assert_refused(MISTAKES[name], shape, seed)
        tried.append((shape, seed))

    refuses()
    assert len(set(tried)) >= EXAMPLES_OF_A_MISTAKE


def assert_refused(mistake: Mistake, shape: Shape, seed: int) -> None:
    """Make one mistake in a random declaration and see it refused."""
    rng = Random(f"{mistake.name} {seed}")  # noqa: S311 - not every mistake in the same few declarations
    draft = draft_of(shape, rng)
    blame = mistake.in_draft(draft, rng) if mistake.in_draft is not None else None
    texts: Texts = dict(texts_of(draft, rng))
    if mistake.in_text is not None:
        blame = mistake.in_text(texts, draft, rng)
    assume(blame is not None)
    assert blame is not None
    with written(draft, texts) as directory:
        problems = load(directory)
        assert not isinstance(problems, Nation), f"accepted, and the oracle says {judge(directory, TODAY)}"
        assert judge(directory, TODAY)
        assert_well_placed(problems)
        said = {
            (str(Path(file).relative_to(directory)) if ".." not in file else file.partition("/../base/")[2], int(line))
            for problem in problems
            if problem.code == blame.code
            for file, _, line in [problem.place.rpartition(":")]
        }
        if blame.is_exact:
            assert said & blame.lines(texts), (problems, blame)
        else:
            assert blame.places[0][0] in {file for file, _ in said}, (problems, blame)


@examples(DAMAGED)
@given(shapes(), seeds, st.integers(1, 3))
def test_of_blind_damage_the_oracle_thinks_as_the_reader(shape: Shape, seed: int, times: int) -> None:
    """Lines deleted, scalars swapped, digits flipped: the declaration is accepted by both or by neither."""
    rng = Random(seed)  # noqa: S311 - a test's choice
    draft = draft_of(shape, rng)
    sound = texts_of(draft, rng)
    for _ in range(DAMAGES_OF_EACH):
        texts: Texts = dict(sound)
        for _ in range(times):
            note(damage(texts, rng))
        with written(draft, texts) as directory:
            found = load(directory)
            reasons = judge(directory, TODAY)
            assert isinstance(found, Nation) == (not reasons), (found, reasons)
            if not isinstance(found, Nation):
                assert_well_placed(found)
