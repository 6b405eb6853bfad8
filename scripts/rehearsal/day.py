"""The day: what all four users do on a rehearsal that is up, and the table of what that proved.

Each act proves one thing by asking what really runs (daemons, API servers, the receiver of alerts, files on disk),
never by trusting the tool that did it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from inventories import load_nation
from inventories.errors import CgcError
from inventories.model import Role, Text, Tier
from policies.catalogue import all_controls
from policies.control import Finding, Verdict
from policies.drift import Departure, Drift, find_drift, state_hash
from policies.judging import judge_all
from policies.observed import Silence
from policies.waivers import WAIVERS, read_waivers
from scripts.converging import Convergence, Outcome, converge_nation
from scripts.drifting import gather
from scripts.errors import ScriptError
from scripts.evidence import PUBLIC_KEY_NAME, open_log, this_actor
from scripts.evidence_verifier import verify_file
from scripts.observing import observe
from scripts.planned import manifests_of, planned_of
from scripts.rehearsal import faults
from scripts.rehearsal.cabling import cut, splice
from scripts.rehearsal.credentials import CARELESS
from scripts.rehearsal.ground import Ground
from scripts.rehearsal.machines import run_inside
from scripts.rehearsal.receiver import ReceivedAlert, alerts_since, firing, still_firing
from scripts.sweeping import sweep

PINGS = 200
PING_INTERVAL_SECONDS = 0.1
CUT_AFTER_SECONDS = 3.0
PAGE_WITHIN_SECONDS = 120.0
LATE_PAGES_SECONDS = 20.0  # for how long after the first page a second one would still count against us
SETTLED_WITHIN_SECONDS = 240.0
POLL_SECONDS = 2.0
LOST = re.compile(r"(\d+) packets transmitted, (\d+) received")

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One thing that the day proved, or failed to: what was seen, and how long it took."""

    what: Text
    is_proven: bool
    detail: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Act:
    """One act of the day; `prove` returns whether it holds and what was seen."""

    what: Text
    prove: Callable[[Ground, Report], tuple[bool, str]]


def live_the_day(ground: Ground, *, report: Report) -> tuple[Proof, ...]:
    """Live the day, act by act; an act that breaks is not proven, and the next ones are still tried.

    Faults that an act made and did not live to mend are mended at the end.
    """
    proofs: list[Proof] = []
    for act in ACTS:
        report(f"the day: {act.what.en}")
        began = time.monotonic()
        try:
            is_proven, detail = act.prove(ground, report)
        except CgcError as err:
            is_proven, detail = False, str(err)
        seconds = round(time.monotonic() - began, 1)
        report(f"the day: {'proven' if is_proven else 'NOT PROVEN'}: {detail}")
        proofs.append(Proof(what=act.what, is_proven=is_proven, detail=detail, seconds=seconds))
    for name in faults.inflicted(ground.access.state):
        faults.mend_it(ground, faults.fault_called(name))
    body = {proof.what.en: {"proven": proof.is_proven, "seen": proof.detail} for proof in proofs}
    open_log(ground.access.state / "evidence").append(kind="day", actor=this_actor(), body=body)
    return tuple(proofs)


def state_of(ground: Ground) -> dict[str, str]:
    """Return the state hash of every node and cluster, as each answers now; CGC-656 if one does not."""
    answers = sweep(ground.nation.nodes, ground.access)
    observed = observe(ground.nation, ground.access.state, manifests=manifests_of(ground.nation))
    hashes: dict[str, str] = {}
    for name, answer in answers.items():
        if isinstance(answer, Silence):
            raise _silent(answer)
        hashes[f"node/{name}"] = answer.state_hash
    for name, seen in observed.clusters.items():
        if isinstance(seen, Silence):
            raise _silent(seen)
        hashes[f"cluster/{name}"] = state_hash(seen)
    return hashes


def _silent(silence: Silence) -> ScriptError:
    return ScriptError(
        "CGC-656",
        f"did not answer ({silence.reason}): {silence.detail}",
        where=silence.subject,
        remedy="look at it with `cgc rehearse status`",
    )


def drift_of(ground: Ground) -> Drift:
    """Return what departs from the declaration now."""
    planned, observed = gather(ground.nation, ground.access.state)
    return find_drift(ground.nation, planned, observed)


def _converged(ground: Ground, report: Report) -> tuple[bool, str]:
    """Everything that converging had to do is done, and nothing departs from the declaration."""
    done = converge_nation(ground.nation, ground.access, is_applied=True, report=report)
    return not done.exit_codes, _in_words(done)


def _converged_again(ground: Ground, report: Report) -> tuple[bool, str]:
    before = state_of(ground)
    done = converge_nation(ground.nation, ground.access, is_applied=True, report=report)
    after = state_of(ground)
    moved = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    untouched = set(done.outcomes) == {Outcome.AS_DECLARED}
    seen = f"{len(after)} state hashes equal before and after" if not moved else f"changed: {', '.join(moved)}"
    return untouched and not moved, f"{seen}; {_in_words(done)}"


def _in_words(done: Convergence) -> str:
    counts = {outcome: done.outcomes.count(outcome) for outcome in Outcome if outcome in done.outcomes}
    left = len(done.remaining.items) if done.remaining else 0
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + f", {left} departures left"


def _fibre_is_cut(ground: Ground, report: Report) -> tuple[bool, str]:
    """Traffic moves to the other plane, and exactly one page names the cut and the communes it concerns."""
    fibre = ground.nation.link_by_name[faults.planed_link(faults.first(ground, Role.PROVINCE))]
    commune = next(node for node in ground.nation.with_role(Role.COMMUNE) if node.site.code in fibre.communes)
    far = _far_host(ground, fibre.communes)
    _wait_until_calm(ground, report)
    since = datetime.now(UTC)
    ping = [
        "ping", "-n", "-q", "-i", str(PING_INTERVAL_SECONDS), "-c", str(PINGS), "-W", "1",
        "-I", str(commune.loopback.ipv4), str(far),
    ]  # fmt: skip
    with ThreadPoolExecutor(max_workers=1) as pool, _noted(ground, "fibre-cut"):
        pinging = pool.submit(_ping, ground, commune.name, ping)
        time.sleep(CUT_AFTER_SECONDS)
        cut(ground.fabric, fibre.name)
        try:
            sent, received = pinging.result()
            pages = _pages(ground, since)
        finally:
            splice(ground.fabric, fibre.name)
    told = " ".join(text for page in pages for text in page.annotations.values())
    names_all = fibre.name in told and all(code in told for code in fibre.communes)
    lost = sent - received
    moved = received > 0 and lost * PING_INTERVAL_SECONDS < CUT_AFTER_SECONDS * 2
    _wait_until_calm(ground, report)
    detail = (
        f"{lost} of {sent} pings lost ({lost * PING_INTERVAL_SECONDS:.1f} s); {len(pages)} page(s): "
        f"{', '.join(page.labels.get('cause', page.name) for page in pages) or 'none'}, "
        f"naming {fibre.name} and {', '.join(fibre.communes)}: {'yes' if names_all else 'no'}"
    )
    return moved and len(pages) == 1 and names_all, detail


def _far_host(ground: Ground, communes: tuple[str, ...]) -> IPv4Address:
    """Return the loopback address of a cluster host in another region than the communes'."""
    region = next(node.site.region for node in ground.nation.with_role(Role.COMMUNE) if node.site.code in communes)
    return next(node.loopback.ipv4 for node in ground.nation.with_role(Role.CLUSTER) if node.site.region is not region)


def _ping(ground: Ground, machine: str, command: list[str]) -> tuple[int, int]:
    said = run_inside(ground.fabric, machine, ["sh", "-c", f"{' '.join(command)} || true"])
    found = LOST.search(said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _pages(ground: Ground, since: datetime) -> tuple[ReceivedAlert, ...]:
    """Wait for the first page, then for as long as a second one could still come; return them all."""
    deadline = time.monotonic() + PAGE_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if firing(alerts_since(ground, since), severity="page"):
            time.sleep(LATE_PAGES_SECONDS)
            break
        time.sleep(POLL_SECONDS)
    return firing(alerts_since(ground, since), severity="page")


def _wait_until_calm(ground: Ground, report: Report) -> None:
    """Wait until no page is open: the next fault's pages must be its own. CGC-657 if that does not come."""
    deadline = time.monotonic() + SETTLED_WITHIN_SECONDS
    beginning = datetime.now(UTC) - timedelta(days=1)
    while open_pages := still_firing(alerts_since(ground, beginning), severity="page"):
        names = ", ".join(f"{page.name} ({page.labels.get('cause', '')})" for page in open_pages)
        if time.monotonic() > deadline:
            raise ScriptError(
                "CGC-657",
                f"pages are still open after {SETTLED_WITHIN_SECONDS:g} s: {names}",
                where="the receiver of alerts",
                remedy="mend what they name; `cgc rehearse status` and `cgc drift` help",
            )
        report(f"the day: waiting for {names} to end")
        time.sleep(POLL_SECONDS * 2)


@contextmanager
def _noted(ground: Ground, fault: str) -> Iterator[None]:
    """Let `cgc rehearse mend` know of a fault while it lasts, should this process be killed."""
    faults.note(ground, fault, is_broken=True)
    try:
        yield
    finally:
        faults.note(ground, fault, is_broken=False)


def _hands_are_seen(ground: Ground, _report: Report) -> tuple[bool, str]:
    """Three changes by hand are named, with who made them and when, and nothing else is."""
    for name in HAND_MADE:
        faults.break_it(ground, faults.fault_called(name))
    drift = drift_of(ground)
    expected = {place for name in HAND_MADE for place in faults.fault_called(name).drift(ground)}
    found = {_place_of(item.subject, item.where) for item in drift.items}
    attributed = [item for item in drift.items if CARELESS in item.who and item.when is not None]
    detail = "; ".join(
        f"{item.subject} {item.where}: {item.departure} by {', '.join(item.who) or 'nobody known'}"
        f" at {item.when:%H:%M:%S}"
        if item.when
        else f"{item.subject} {item.where}: {item.departure}"
        for item in drift.items
    )
    silent = f"; {len(drift.silences)} silent" if drift.silences else ""
    is_proven = found == expected and len(attributed) == len(drift.items) and not drift.silences
    return is_proven, f"{detail or 'nothing seen'}{silent}"


HAND_MADE = ("file-edited", "policy-opened", "stray-pod")
REPAIRABLE = ("file-edited", "policy-opened")


def _place_of(subject: str, where: str) -> tuple[str, str]:
    """Return a departure's place as the catalogue of faults writes it: of a node, only which."""
    return (subject, "") if subject.startswith("node/") else (subject, where)


def _converging_repairs(ground: Ground, report: Report) -> tuple[bool, str]:
    """Converging puts the edited file and the opened policy right, and names the pod without touching it."""
    done = converge_nation(ground.nation, ground.access, is_applied=True, report=report)
    left = done.remaining.items if done.remaining else ()
    stranger = set(faults.stray_pod(ground))
    names_only_it = {_place_of(item.subject, item.where) for item in left} == stranger
    is_named = all(item.departure is Departure.UNDECLARED and not item.repairable for item in left)
    for name in HAND_MADE:
        faults.mend_it(ground, faults.fault_called(name))
    clean = drift_of(ground)
    seen = ", ".join(f"{item.subject} {item.where}" for item in left) or "nothing"
    is_proven = names_only_it and is_named and not clean.items and not clean.silences
    return is_proven, f"named, not touched: {seen}; after its removal {len(clean.items)} departures; {_in_words(done)}"


def _unlawful_change_is_refused(ground: Ground, _report: Report) -> tuple[bool, str]:
    """Have a level-4 platform moved to an enterprise cloud, and see it refused with the article."""
    with tempfile.TemporaryDirectory(prefix="cgc-unlawful-") as scratch:
        copy = Path(scratch, "nation")
        shutil.copytree(ground.nation.directory, copy)
        platforms = copy / "platforms.yaml"
        text = platforms.read_text()
        platform = faults.walled_platform(ground)[1]
        start = text.index(f"- id: {platform.id}\n")
        moved = text[start:].replace(f"tier: {platform.tier}", f"tier: {Tier.EGC}", 1)
        cluster = next(item.id for item in ground.nation.clusters if item.tier is Tier.EGC)
        moved = moved.replace(f"clusters: [{', '.join(platform.clusters)}]", f"clusters: [{cluster}]", 1)
        platforms.write_text(text[:start] + moved)
        nation = load_nation(copy)
        at = datetime.now(UTC)
        waivers = read_waivers(WAIVERS, controls=(control.id for control in all_controls()))
        findings = judge_all(nation, planned=planned_of(nation), observed=None, waivers=waivers, at=at)
    refusals = [item for item in findings if item.verdict is Verdict.FAIL and platform.id in item.subject]
    return bool(refusals), "; ".join(_refusal(item) for item in refusals) or "nobody objected"


def _refusal(finding: Finding) -> str:
    citation = finding.citation
    article = f"{citation.document}, {citation.article}" if citation is not None else "no article"
    return f"{finding.control} ({article})"


def _evidence_holds(ground: Ground, _report: Report) -> tuple[bool, str]:
    """Verify the evidence offline with the public key alone, and find a flipped byte in a copy of it."""
    log = open_log(ground.access.state / "evidence")
    log.append(kind="rehearsal", actor=this_actor(), body={"machines": len(ground.fabric.machines)})
    key = log.path.with_name(PUBLIC_KEY_NAME)
    whole = verify_file(log.path, [key])
    with tempfile.TemporaryDirectory(prefix="cgc-evidence-") as scratch:
        copy = Path(scratch, log.path.name)
        content = bytearray(log.path.read_bytes())
        content[len(content) // 2] ^= 1
        copy.write_bytes(content)
        flipped = verify_file(copy, [key])
    place = f"line {flipped.problem.line}: {flipped.problem.what}" if flipped.problem else "not found"
    return whole.verified and not flipped.verified, f"{whole.entries} entries verify; the flipped byte: {place}"


ACTS = (
    Act(what=Text(vi="Hội tụ: mọi thứ đúng như khai báo", en="converged: all is as declared"), prove=_converged),
    Act(
        what=Text(vi="Hội tụ lần hai không thay đổi gì", en="a second converge changes nothing"),
        prove=_converged_again,
    ),
    Act(
        what=Text(
            vi="Đứt cáp: lưu lượng chuyển mặt phẳng, đúng một cảnh báo gọi người trực",
            en="a fibre is cut: traffic moves to the other plane, exactly one page",
        ),
        prove=_fibre_is_cut,
    ),
    Act(
        what=Text(
            vi="Ba thay đổi bằng tay được nêu tên, với ai và khi nào",
            en="three changes by hand are named, with who and when",
        ),
        prove=_hands_are_seen,
    ),
    Act(
        what=Text(
            vi="Hội tụ sửa hai thay đổi đầu và nêu tên thay đổi thứ ba",
            en="converging repairs the first two and names the third",
        ),
        prove=_converging_repairs,
    ),
    Act(
        what=Text(
            vi="Thay đổi trái luật bị từ chối, kèm điều luật",
            en="an unlawful change is refused with the article",
        ),
        prove=_unlawful_change_is_refused,
    ),
    Act(
        what=Text(
            vi="Bằng chứng kiểm chứng được; một byte bị lật bị phát hiện",
            en="the evidence verifies; a flipped byte is found",
        ),
        prove=_evidence_holds,
    ),
)
