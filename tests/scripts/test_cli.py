"""The frame of `cgc`: exit codes, errors with a remedy, JSON, quiet ends; in process and as a real program."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
import typer
from typer.testing import CliRunner

from inventories.errors import CgcError, ExitCode
from scripts import cli, invocation
from scripts.cli import READER_GONE, VERBS, app
from scripts.evidence import EvidenceLog, create_or_load_key
from scripts.invocation import Invocation, JsonOption, Language, language_of
from scripts.presenting import Column, Table, examples, finish, plain, present, present_error, worst
from scripts.verbs import Verb

CHECKOUT = Path(cli.__file__).parents[1]
DESIGNED = [
    *("doctor", "toolchain", "nation", "rehearse", "preview", "converge", "judge", "drift", "serve", "evidence"),
]
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "120"})


def planted_verb() -> ModuleType:
    """Make a module with one verb that ends in every way a verb can end."""
    module = ModuleType("scripts.planted")

    def planted(how: str, *, as_json: JsonOption = False) -> None:
        """End as asked."""
        match how:
            case "error":
                raise CgcError("CGC-999", "it broke", where="host-1:7", remedy="mend it")
            case "unknown":
                error = CgcError("CGC-998", "no answer", remedy="ask again")
                error.exit_code = ExitCode.UNKNOWN
                raise error
            case "unexpected":
                raise ZeroDivisionError("by nought")
            case "interrupt":
                raise KeyboardInterrupt
            case "differs":
                finish(ExitCode.AS_DECLARED, ExitCode.DIFFERS)
            case "several":
                finish(ExitCode.DIFFERS, ExitCode.UNKNOWN, ExitCode.NOT_ALLOWED)
            case _:
                seen = invocation.current()
                present(facts={"language": seen.language, "declaration": seen.declaration}, as_json=as_json)

    module.__dict__["planted"] = planted
    return module


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a verb `planted` among the real ones."""
    monkeypatch.setitem(sys.modules, "scripts.planted", planted_verb())
    monkeypatch.setitem(VERBS, "planted", Verb(module="scripts.planted", attribute="planted", help="For tests."))


def cgc(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real program with this on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "scripts", *arguments],
        capture_output=True, text=True, check=False, cwd=CHECKOUT, input=given,
        env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "120"},
    )  # fmt: skip


# ── Exit codes and errors ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("well", 0),
        ("error", 1),
        ("unknown", 3),
        ("unexpected", 1),
        ("differs", 5),
        ("several", 3),
        ("interrupt", 130),
    ],
)
def test_each_way_to_end_has_its_exit_code(how: str, code: int) -> None:
    """Exit codes of the design; the smallest non-zero one of several wins; no traceback."""
    result = runner.invoke(app, ["planted", how])
    assert result.exit_code == code
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("planted")
def test_an_error_says_what_where_and_what_next() -> None:
    """On stderr: for people in their language, for programs as JSON; stdout stays empty."""
    result = runner.invoke(app, ["planted", "error"])
    assert result.stdout == ""
    assert result.stderr == "CGC-999  it broke\n  where: host-1:7\n  next: mend it\n"
    result = runner.invoke(app, ["--lang", "vi", "planted", "error"])
    assert result.stderr == "CGC-999  it broke\n  ở đâu: host-1:7\n  cần làm: mend it\n"
    result = runner.invoke(app, ["planted", "error", "--json"])
    assert result.stdout == ""
    assert json.loads(result.stderr) == {
        "error": {"code": "CGC-999", "what": "it broke", "where": "host-1:7", "remedy": "mend it"}
    }


@pytest.mark.usefixtures("planted")
def test_a_traceback_is_shown_on_demand_only() -> None:
    """--debug shows where it came from, and the exit code stays."""
    quiet, loud = (
        runner.invoke(app, ["planted", "unexpected"]),
        runner.invoke(app, ["--debug", "planted", "unexpected"]),
    )
    assert (quiet.exit_code, loud.exit_code) == (1, 1)
    assert "CGC-649  unexpected ZeroDivisionError: by nought" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert "raise ZeroDivisionError" in loud.stderr


@pytest.mark.usefixtures("planted")
def test_interruption_is_quiet() -> None:
    """Ctrl-C: exit 130, nothing said."""
    assert runner.invoke(app, ["planted", "interrupt"]).output == ""


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["planted"],
        ["planted", "well", "more"],
        ["planted", "well", "--nope"],
        ["--lang", "fr", "planted", "well"],
        ["evidence"],
        ["evidence", "nonsense"],
    ],
)
def test_a_wrong_command_line_is_exit_2(arguments: list[str]) -> None:
    """Usage errors: exit 2, code CGC-640, a remedy; as JSON where asked, even if the line cannot be parsed."""
    result = runner.invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("CGC-640")
    assert "  next: " in result.stderr
    result = runner.invoke(app, [*arguments, "--json"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert json.loads(result.stderr)["error"]["code"] == "CGC-640"


@pytest.mark.usefixtures("planted")
def test_a_mistyped_verb_is_suggested() -> None:
    """The remedy names the verb that was probably meant."""
    assert "did you mean `cgc evidence`?" in runner.invoke(app, ["evidnce"]).stderr


@pytest.mark.usefixtures("planted")
def test_a_verb_that_cannot_be_loaded_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is not there, or does not hold its verb: CGC-642 names it, exit 1."""
    for module, attribute in (("scripts.nowhere", "x"), ("scripts.planted", "absent")):
        monkeypatch.setitem(VERBS, "planted", Verb(module=module, attribute=attribute, help=""))
        result = runner.invoke(app, ["planted", "well"])
        assert result.exit_code == 1
        assert result.stderr.startswith("CGC-642")
        assert module in result.stderr


def test_the_smallest_non_zero_exit_code_wins() -> None:
    """As the design says; nothing wrong is 0."""
    assert worst([]) == worst([ExitCode.AS_DECLARED]) == ExitCode.AS_DECLARED
    assert worst([ExitCode.DIFFERS, ExitCode.AS_DECLARED, ExitCode.UNKNOWN]) == ExitCode.UNKNOWN


# ── What holds for every verb ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("planted")
def test_a_verb_sees_language_and_declaration() -> None:
    """Options before the verb reach it; the language comes from the environment unless given; nothing lingers."""
    result = runner.invoke(app, ["--declaration", "inventories/nation-2025", "planted", "well", "--json"])
    assert json.loads(result.stdout) == {"language": "en", "declaration": "inventories/nation-2025"}
    result = runner.invoke(app, ["planted", "well", "--json"], env={"LC_ALL": "", "LANG": "vi_VN.UTF-8"})
    assert json.loads(result.stdout) == {"language": "vi", "declaration": "inventories/rehearsal"}
    result = runner.invoke(app, ["--lang", "en", "planted", "well", "--json"], env={"LC_ALL": "vi_VN"})
    assert json.loads(result.stdout)["language"] == "en"
    assert invocation.current() == Invocation()


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "vi_VN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "C", "LC_MESSAGES": "vi"}, "vi"),
        ({"LANG": "fr_FR"}, "en"),
    ],
)
def test_the_language_follows_the_locale(environment: dict[str, str], language: str) -> None:
    """LC_ALL before LC_MESSAGES before LANG (POSIX); anything but Vietnamese is English."""
    assert language_of(environment) is Language(language)


@pytest.mark.usefixtures("planted")
def test_help_names_the_verbs_and_shows_examples() -> None:
    """`cgc --help` lists every verb of the design with its line, and examples; exit 0."""
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in DESIGNED:
        assert f" {name} " in result.stdout
        assert VERBS[name].help in result.stdout
    assert "cgc rehearse up" in result.stdout
    assert runner.invoke(app, ["-h"]).stdout == result.stdout


@pytest.mark.usefixtures("planted")
def test_a_verb_shows_its_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cgc VERB --help` ends with examples that can be copied."""
    verb = Verb(module="scripts.planted", attribute="planted", help="", examples=(("cgc planted well", "end well"),))
    monkeypatch.setitem(VERBS, "planted", verb)
    assert "cgc planted well  end well" in runner.invoke(app, ["planted", "--help"]).stdout
    for name, known in VERBS.items():
        assert known.examples or known.attribute == "app", name


def test_without_arguments_help_goes_to_stderr() -> None:
    """No verb is a usage error: the help on stderr, nothing on stdout, exit 2."""
    result = cgc()
    assert (result.returncode, result.stdout) == (2, "")
    assert "Usage: cgc" in result.stderr


def test_help_loads_no_verb() -> None:
    """Start-up stays short because help imports neither the verbs nor what they need."""
    program = (
        "import sys; from scripts.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = ('scripts.', 'cryptography', 'ansible', 'pulumi', 'asyncssh')\n"
        "loaded = [name for name in sys.modules if name.startswith(heavy)]\n"
        "print(sorted(loaded), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    loaded = ["scripts.cli", "scripts.errors", "scripts.invocation", "scripts.presenting", "scripts.verbs"]
    assert run.stderr.strip() == str(loaded)


def test_completion_offers_verbs_and_what_follows_them() -> None:
    """The shell's completion knows verbs, their sub-commands and their options."""

    def offered(words: str) -> list[str]:
        env = {**os.environ, "_CGC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        run = subprocess.run(
            [sys.executable, "-c", "from scripts.cli import main; main()"],
            capture_output=True, text=True, check=False, cwd=CHECKOUT, env=env,
        )  # fmt: skip
        return run.stdout.split()

    assert "evidence" in offered("cgc ev")
    assert offered("cgc evidence s") == ["seal", "show"]
    assert "--kind" in offered("cgc evidence seal --k")


# ── The real program ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`cgc … | head -0`: nothing on stderr, the code shells give to SIGPIPE."""
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"x": "y" * 200_000}))
    where = ("--directory", str(tmp_path / "e"))
    assert cgc("evidence", "seal", "--kind", "day", "--body", str(body), *where).returncode == 0
    show = ["evidence", "show", *where]
    for arguments in (["--help"], show, [*show, "--json"]):
        with subprocess.Popen(
            [sys.executable, "-m", "scripts", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT,
        ) as run:  # fmt: skip
            assert run.stdout is not None
            assert run.stderr is not None
            run.stdout.close()
            assert run.stderr.read() == b""
            assert run.wait() == READER_GONE


def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Standard output on a full device: exit 1 and an error, never a silent success."""
    key = tmp_path / "key.pem"
    create_or_load_key(key)
    EvidenceLog(tmp_path / "log.jsonl", create_or_load_key(key)).append(kind="day", actor="t", body=1)
    show = ["evidence", "show", "--directory", str(tmp_path)]
    for arguments, code in ((["--help"], "CGC-649"), (show, "CGC-641"), ([*show, "--json"], "CGC-641")):
        with Path("/dev/full").open("w") as full:
            run = subprocess.run(
                [sys.executable, "-m", "scripts", *arguments],
                stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=CHECKOUT,
            )  # fmt: skip
        assert run.returncode == 1
        assert code in run.stderr
        assert run.stderr.count("\n") <= 3


def test_ctrl_c_ends_a_real_command_quietly() -> None:
    """SIGINT while it waits for its input: exit 130, nothing said."""
    with subprocess.Popen(
        [sys.executable, "-m", "scripts", "evidence", "seal", "--kind", "day", "--body", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - it starts no thread, and exec follows at once
    ) as run:  # fmt: skip
        wait_until_reading(run.pid)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=20)
    assert (run.returncode, out, err) == (130, b"", b"")


def heed_interrupts() -> None:
    """Take SIGINT's own meaning back: tests that run in a shell's background inherit that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until_reading(pid: int) -> None:
    """Wait until the process blocks in read(2) of its standard input."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 "):
            return
        time.sleep(0.01)
    raise AssertionError("it never read its input")


@pytest.mark.slow
def test_evidence_from_the_command_line(tmp_path: Path) -> None:
    """Seal, show, verify; a flipped byte gives exit 4 and its place; as table and as JSON with the same content."""
    where = ("--directory", str(tmp_path / "e"))
    log, public = tmp_path / "e" / "log.jsonl", tmp_path / "e" / "public.pem"
    for number in range(3):
        sealed = cgc(
            "evidence",
            "seal",
            "--kind",
            "change",
            "--body",
            "-",
            "--actor",
            "lan",
            *where,
            "--json",
            given=f'{{"n": {number}}}',
        )
        assert sealed.returncode == 0, sealed.stderr
    shown = json.loads(cgc("evidence", "show", *where, "--last", "2", "--json").stdout)["entries"]
    assert [(entry["sequence"], entry["body"]) for entry in shown] == [(2, {"n": 1}), (3, {"n": 2})]
    assert '{"n": 2}' in cgc("evidence", "show", *where).stdout
    verified = cgc("evidence", "verify", str(log), "--public-key", str(public), "--json")
    facts = json.loads(verified.stdout)
    assert (verified.returncode, facts["verified"], facts["head_sequence"]) == (0, True, 3)
    assert facts["anchor"] == json.loads(sealed.stdout)["anchor"]
    content = bytearray(log.read_bytes())
    content[content.index(b'{"n":1}') + 5] ^= 1
    log.write_bytes(content)
    found = cgc("evidence", "verify", str(log), "--json")
    assert found.returncode == 4
    assert {name: json.loads(found.stdout)[name] for name in ("problem", "line", "verified")} == {
        "problem": "edited", "line": 2, "verified": False,
    }  # fmt: skip
    assert cgc("evidence", "show", *where).stderr.startswith("CGC-603")


@pytest.mark.parametrize("body", ["", "{", '{"a": 1, "a": 2}', b"\xff\xfe\xff", "[" * 100_000])
def test_a_body_that_is_no_json_is_refused(tmp_path: Path, body: str | bytes) -> None:
    """Exit 2 and CGC-610; no log is begun."""
    path = tmp_path / "body"
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    result = runner.invoke(
        app, ["evidence", "seal", "--kind", "day", "--body", str(path), "--directory", str(tmp_path / "e")]
    )
    assert (result.exit_code, result.stderr[:7]) == (2, "CGC-610")
    assert not (tmp_path / "e").exists()


def test_input_that_cannot_be_verified_is_exit_2(tmp_path: Path) -> None:
    """No log, no key, a bad anchor: CGC-609."""
    missing = runner.invoke(app, ["evidence", "verify", str(tmp_path / "log.jsonl")])
    assert (missing.exit_code, missing.stderr[:7]) == (2, "CGC-609")
    nothing = runner.invoke(app, ["evidence", "show", "--directory", str(tmp_path)])
    assert (nothing.exit_code, nothing.stderr[:7]) == (2, "CGC-609")


# ── Presenting ───────────────────────────────────────────────────────────────────────────────────────────────────────

TABLE = Table(
    name="hosts",
    title_en="Hosts",
    title_vi="Máy chủ",
    columns=(Column(key="name", en="name", vi="tên"), Column(key="verdict", en="verdict", vi="kết luận")),
    rows=({"name": "core-a-hn", "verdict": "PASS"}, {"name": "x" * 300, "verdict": "FAIL"}),
)


def shown(
    *, as_json: bool = False, facts: dict[str, object] | None = None, tables: tuple[Table, ...] = (TABLE,)
) -> str:
    """Return what is printed."""
    out = StringIO()
    present(tables, facts=facts, as_json=as_json, out=out)
    return out.getvalue()


def test_a_table_in_a_pipe_keeps_one_line_per_row() -> None:
    """Whatever its width: grep finds what it looks for."""
    text = shown()
    assert any("x" * 300 in line and "FAIL" in line for line in text.splitlines())
    assert "\x1b" not in text


def test_json_and_table_have_the_same_content() -> None:
    """Every row and fact of one is in the other, in the same order."""
    content = json.loads(shown(as_json=True, facts={"seconds": timedelta(seconds=1.5)}))
    assert content == {"seconds": 1.5, "hosts": list(TABLE.rows)}
    text = shown(facts={"seconds": timedelta(seconds=1.5)})
    assert [str(row["name"]) in text for row in TABLE.rows] == [True, True]
    assert "1.5" in text


def test_headings_follow_the_language() -> None:
    """Vietnamese headings for Vietnamese readers; the content stays."""
    with invocation.kept_apart():
        invocation.begin(Invocation(language=Language.VIETNAMESE))
        text = shown(facts={"proven": True})
    assert "kết luận" in text
    assert "Máy chủ" in text
    assert "có" in text
    assert "PASS" in text


def test_text_from_outside_can_neither_style_nor_move_the_cursor() -> None:
    """Markup of rich and escape sequences in a value are shown as they are written."""
    text = shown(facts={"name": "[red]x[/red] \x1b[2J\x9b \x07"}, tables=())
    assert "[red]x[/red] \\x1b[2J\\x9b \\x07" in text
    out = StringIO()
    present_error(CgcError("CGC-999", "bad \x1b[2J", where="a\nb", remedy="r"), as_json=False, out=out)
    assert "\x1b" not in out.getvalue()
    assert "where: a\\x0ab" in out.getvalue()


def test_values_have_one_form_in_json() -> None:
    """Enums by value, times in UTC, durations in seconds, paths as text, sets in order; anything else is refused."""
    assert plain(ExitCode.DIFFERS) == 5
    assert plain(datetime(2031, 9, 30, 15, tzinfo=UTC)) == "2031-09-30T15:00:00Z"
    assert plain({Language.ENGLISH: {"b", "a"}}) == {"en": ["a", "b"]}
    assert plain((Path("a/b"), timedelta(minutes=1), None, True)) == ["a/b", 60.0, None, True]
    with pytest.raises(TypeError):
        plain(object())


def test_examples_show_brackets_as_written() -> None:
    """An example with [FILE] is not taken for markup."""
    probe = typer.Typer(rich_markup_mode="rich", add_completion=False)
    probe.command(epilog=examples(("cgc x [FILE]", "one [file]")))(lambda: None)
    assert "cgc x [FILE]  one [file]" in runner.invoke(probe, ["--help"]).stdout


def test_progress_is_for_terminals_only() -> None:
    """In a pipe nothing is said; on a terminal the step is."""
    program = (
        "from scripts.presenting import progress\nwith progress('raising hosts') as p: p.step('booting core-a-hn')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=CHECKOUT)
    assert (run.stdout, run.stderr) == (b"", b"")
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-c", program], stderr=theirs, check=True, cwd=CHECKOUT, env={**os.environ, "TERM": "xterm"}
    )
    assert select.select([ours], [], [], 5)[0]
    assert b"booting core-a-hn" in os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)
