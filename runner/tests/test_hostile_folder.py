"""A run folder is hostile input: each of its files, replaced by anything, costs one clear line and no report."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.assemble import assemble_report, write_reports
from parasuite.judge.copy_results import FOLDER_WAS_EMPTIED
from parasuite.model.words import OptionalReport
from parasuite.record.run_folder import RunFolder, RunFolderError
from parasuite.reports.terminal import terminal

from runner.tests.conftest import Parasuite, clean_environment
from runner.tests.spoiling import KINDS, replace

if sys.platform == "win32":
    pytest.skip("pipes and devices in the file system are not Windows' own", allow_module_level=True)

REPORTS = ("findings.json", "junit.xml", "junit-merged.xml")
SUITE = "import socket\ndef test_one(): socket.create_server(('127.0.0.1', 0)).close()\n"


FILES = [
    *("run.json", "lock", "events/orchestrator.jsonl", "events/new.jsonl", "collected/000-0.xml"),
    *("copies/000/output.log", "copies/000/results.jsonl", "copies/000/recorder/1-1-0.jsonl"),
    *("copies/000/recorder/1.blind", "copies/000/recorder/1.partial", "copies/000/pages/1"),
    *("copies/000/recorder", "copies/000", "copies", "events", "collected"),
    *REPORTS,
]


@pytest.fixture(scope="module")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a run of a pytest tree and of one of a command with a JUnit file."""
    folders = {}
    junit = "<testsuite><testcase name='a'/></testsuite>"
    for name, arguments in {
        "pytest": ["--python", sys.executable, "tests/"],
        "command": ["--collect-junit", "j.xml", "--", "sh", "-c", f'echo "{junit}" > j.xml'],
    }.items():
        parasuite = Parasuite(tmp_path_factory.mktemp(name), clean_environment())
        (parasuite.cwd / "tests").mkdir()
        (parasuite.cwd / "tests" / "test_it.py").write_text(SUITE)
        finished = parasuite("run", "-j", "1", "--sensors", "recorder", *arguments)
        assert finished.code == 0, finished.stdout + finished.stderr
        folders[name] = finished.folder
    return folders


@pytest.fixture(params=["pytest", "command"])
def finished_run(request: pytest.FixtureRequest, finished_runs: dict[str, Path], tmp_path: Path) -> Path:
    """A finished run, to be spoiled."""
    shutil.copytree(finished_runs[request.param], tmp_path / "run", symlinks=True)
    return tmp_path / "run"


CHANGED = "the record has changed since the run ended"


def judged(folder: Path) -> tuple[int, bool] | None:
    """The exit code of the reports, and whether they say that the record has changed; None if there can be none."""
    try:
        run_folder = RunFolder.open(folder)
        report = assemble_report(run_folder)
    except RunFolderError:
        return None
    assert all("\n" not in line.plain for line in terminal(report))
    write_reports(run_folder, report, frozenset(OptionalReport))
    return int(report.verdict.code), any(note.startswith(CHANGED) for note in report.notes)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", FILES)
def test_any_file_may_be_replaced_by_anything(finished_run: Path, name: str, kind: Callable[[Path], None]) -> None:
    replace(finished_run / name, kind)
    reported = judged(finished_run)
    if name in ("events/orchestrator.jsonl", "events", "copies", "copies/000"):
        assert reported == (0, True)
    elif name == "run.json":
        assert reported is None
    else:
        assert reported is not None
        assert reported[0] == 0


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "name", ["run.json", "events/new.jsonl", "copies/000/results.jsonl", "copies/000/recorder/1.partial"]
)
def test_a_report_on_a_replaced_file_ends_within_bounded_memory(
    finished_runs: dict[str, Path], tmp_path: Path, name: str, kind: Callable[[Path], None]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_runs["pytest"], folder, symlinks=True)
    replace(folder / name, kind)
    done = subprocess.run(
        [sys.executable, "-m", "parasuite", "report", str(folder)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        timeout=240,
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == ((2, 1) if name == "run.json" else (done.returncode, 0))
    assert done.returncode in (0, 1, 2, 3, 4)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
TIMES = st.integers(0, 10**9)
NAMES = {
    "events/new.jsonl": (
        st.sampled_from(["run", "copy", "process", "bind", "listen", "connect", "release", "seen", "sensor"]),
        [*("asked", "got", "endpoint", "copy", "pid", "errno", "options", "holders", "sensor", "state", "status")],
    ),
    "copies/000/recorder/1-1-0.jsonl": (st.sampled_from(["bind", "listen"]), ["asked", "got", "cookie", "inode"]),
    "copies/000/results.jsonl": (
        st.sampled_from(["collected", "started", "result", "dropped", "ended", "seeds", "internal-error"]),
        ["id", "outcome", "duration_s", "message", "text", "runner", "phase", "attempts", "seeds"],
    ),
}


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_lines_with_any_values_do_not_break_judging(
    finished_runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    kinds, fields = NAMES[name]
    endpoints = st.tuples(st.sampled_from(["tcp", "udp", "unix"]), st.text(max_size=9), st.integers(0, 65535))
    values = json_values | endpoints.map(lambda endpoint: [*endpoint, 0, None])
    facts = st.dictionaries(st.sampled_from(fields), values, max_size=8)
    lines = []
    for fact, kind, t_ns in data.draw(st.lists(st.tuples(facts, kinds, TIMES | json_values), max_size=4)):
        lines.append(json.dumps({"kind": kind, "event": kind, "t_ns": t_ns, **fact}))
    if name != "copies/000/results.jsonl":
        lines = [line.replace(f'"event": {json.dumps(json.loads(line)["kind"])}, ', "") for line in lines]
    folder = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(finished_runs["pytest"], folder, symlinks=True)
    with (folder / name).open("a") as stream:
        stream.write("\n".join(lines) + "\n")
    reported = judged(folder)
    assert reported is not None
    assert reported[0] == 0


@pytest.mark.parametrize("name", [*NAMES, "run.json", "copies/000/recorder/1.partial", "copies/000/output.log"])
@given(content=st.binary(max_size=200))
def test_any_bytes_in_a_file_do_not_break_judging(
    finished_runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(finished_runs["pytest"], folder, symlinks=True)
    (folder / name).write_bytes(content)
    judged(folder)


@given(facts=st.dictionaries(st.sampled_from(["copies", "target", "started_s", "ended", "errors"]), json_values))
def test_a_run_json_of_any_values_is_refused_or_reported(
    finished_runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, facts: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(finished_runs["pytest"], folder, symlinks=True)
    (folder / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | facts))
    judged(folder)


@pytest.fixture
def spoiling_suite(suite: Callable[[str], Path]) -> Callable[[str, str], None]:
    """Write a suite whose test replaces each file that *pattern* matches in its copy's folder by *kind*."""

    def write(pattern: str, kind: str) -> None:
        suite(
            "import glob, os, shutil, sys\n"
            f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
            "from runner.tests import spoiling\n"
            "from pathlib import Path\n"
            "FOLDER = Path(os.environ['PARASUITE_COPY_DIR'])\n"
            "def test_one():\n"
            f"    for name in [*FOLDER.glob({pattern!r})]:\n"
            f"        spoiling.replace(name, vars(spoiling).get({kind!r}, os.mkfifo))\n"
        )

    return write


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_suite_that_replaces_every_file_of_its_copy_ends_and_is_reported(
    parasuite: Parasuite, spoiling_suite: Callable[[str, str], None], kind: Callable[[Path], None]
) -> None:
    spoiling_suite("**/[!.]*[.]*", kind.__name__)
    finished = parasuite.run_pytest("-j", "1", "--sensors", "recorder", "tests/")
    assert (finished.code in (1, 3, 4), "Traceback" in finished.stderr) == (True, False), finished.stderr
    assert all((finished.folder / name).is_file() for name in REPORTS)
    assert parasuite("report").code == finished.code


def test_a_suite_that_removes_its_own_folder_has_failed(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite("import os, shutil\ndef test_one(): shutil.rmtree(os.environ['PARASUITE_COPY_DIR'])\n")
    for sensors in ("none", "recorder"):
        finished = parasuite.run_pytest("-j", "1", "--sensors", sensors, "tests/")
        assert finished.code in (1, 3), finished.stdout
        assert FOLDER_WAS_EMPTIED.format(reason="copies/000") in finished.stdout


def test_a_suite_that_removes_its_results_has_failed(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite("import os\ndef test_one(): os.unlink(os.environ['PARASUITE_COPY_DIR'] + '/results.jsonl')\n")
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "tests/")
    assert (finished.code, "copies/000/results.jsonl is missing" in finished.stdout) == (1, True), finished.stdout


def test_a_suite_that_removes_the_whole_run_is_reported(parasuite: Parasuite, suite: Callable[[str], Path]) -> None:
    suite("import os, shutil\ndef test_one(): shutil.rmtree(os.environ['PARASUITE_COPY_DIR'] + '/../..')\n")
    finished = parasuite.run_pytest("-j", "1", "--sensors", "none", "tests/")
    assert (finished.code, "Traceback" in finished.stderr) == (3, False), finished.stderr


OLD_RUN_JSON = ["[]", '{"pid": null}', '{"pid": 99999999999999999999999}', '{"pid": "x"}', "[" * 200_000]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with more runs than are kept."""
    for number in range(12):
        (tmp_path / "runs" / f"20260101T0000{number:02d}Z-0000").mkdir(parents=True)
    return tmp_path / "runs"


@pytest.mark.parametrize("text", OLD_RUN_JSON, ids=range(len(OLD_RUN_JSON)))
def test_no_content_of_an_old_run_json_stops_a_later_run(runs: Path, text: str) -> None:
    for run in runs.iterdir():
        (run / "run.json").write_text(text)
    RunFolder.create(runs.parent, 1).close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["run.json", "lock"])
def test_no_kind_of_file_in_an_old_run_stops_a_later_run(runs: Path, kind: Callable[[Path], None], name: str) -> None:
    for run in runs.iterdir():
        kind(run / name)
    RunFolder.create(runs.parent, 1).close()
