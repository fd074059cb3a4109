"""How the workers of known test runners are recognised: one row a tool.

A worker is a process of a copy that takes a share of its tests, with all that it starts. What a row looks at is what
a process was born with: its environment, its command line, and the same of the processes above it.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from parasuite.model.words import CopyVariable

XDIST_WORKER = "PYTEST_XDIST_WORKER"
CURRENT_TEST = "PYTEST_CURRENT_TEST"
NEXTEST = "cargo nextest"
RUNNER = "runner"
"""In place of a tool: a process that is a worker because tests of others ran while its own did."""


_LIBTEST = re.compile(r"\S*/deps/([^/\s]+)-[0-9a-f]{16}(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Described:
    """A process as the table sees it.

    *environment*: of VARIABLES, those that it was started with, except what the copy's main process was started with
    as well.
    """

    pid: int
    start_s: float = 0.0
    name: str = ""
    command: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        """The command line, split at its blanks: how the system separates arguments is not recorded."""
        return self.command.split()

    @property
    def program(self) -> str:
        """The last part of its program's path, as its command line has it."""
        arguments = self.arguments
        return os.path.basename(arguments[0]) if arguments else self.name


class Worker(NamedTuple):
    """One link of the chain that names a party.

    *pid*, *start_s*: of the process that is the worker; 0 where the name alone identifies it. *command*: of one that
    is only presumed to be a worker, which its command line identifies.
    """

    tool: str
    name: str
    pid: int = 0
    start_s: float = 0.0
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One tool. *name_of*: of a process and those above it (the copy's main process first), its worker's name, or
    "" if the process does not make a worker.

    *is_value*: the name alone says which worker it is, also where the processes above are not known. Otherwise each
    process that has a name is a worker. *is_nested*: whether a worker of this tool may be within another one of it;
    if not, only the topmost counts. *is_presumed*: the tool starts programs of any kind, side by side; those with
    different command lines are presumed to be different tests.
    """

    tool: str
    name_of: Callable[[Described, Sequence[Described]], str]
    is_value: bool = False
    is_nested: bool = True
    is_presumed: bool = False


def _variable(name: str, label: str = "{}") -> Callable[[Described, Sequence[Described]], str]:
    """The name of a worker that a variable numbers."""

    def name_of(process: Described, above: Sequence[Described]) -> str:
        del above
        value = process.environment.get(name, "")
        return label.format(value) if value else ""

    return name_of


def _tox_environment(process: Described, above: Sequence[Described]) -> str:
    """Each environment of `tox -p`; without -p they run one after the other."""
    is_parallel = not above or any(_is_parallel_tox(parent) for parent in above)
    return process.environment.get("TOX_ENV_NAME", "") if is_parallel else ""


def _is_parallel_tox(process: Described) -> bool:
    arguments = process.arguments
    if not any(os.path.basename(each) == "tox" for each in arguments[:3]):
        return False
    return any(each in ("p", "run-parallel") or each.startswith(("-p", "--parallel")) for each in arguments)


def _node_test_file(process: Described, above: Sequence[Described]) -> str:
    """`node --test` runs each file in a process, with NODE_TEST_CONTEXT, which all that the file starts inherits."""
    del above
    return _script(process) if process.environment.get("NODE_TEST_CONTEXT") else ""


def _go_test_binary(process: Described, above: Sequence[Described]) -> str:
    """`go test` runs one binary a package, `-p` of them at once."""
    is_below_go = bool(above) and above[-1].program == "go"
    return process.program if is_below_go and process.program.endswith((".test", ".test.exe")) else ""


def _cargo_test_binary(process: Described, above: Sequence[Described]) -> str:
    """target/debug/deps/NAME-HASH below `cargo test`."""
    made = _LIBTEST.match(process.command)
    return made[1] if made and above and above[-1].program in ("cargo", "cargo-test") else ""


def is_libtest(command: str) -> bool:
    """Whether *command* runs a test binary of Cargo's, which names its threads after their tests."""
    return _LIBTEST.match(command) is not None


def _nextest(process: Described, above: Sequence[Described]) -> str:
    """cargo-nextest runs each test in a process: BINARY --exact TEST --nocapture."""
    del above
    if process.environment.get("NEXTEST_EXECUTION_MODE") != "process-per-test":
        return ""
    arguments = process.arguments
    exact = arguments.index("--exact") + 1 if "--exact" in arguments else 0
    return arguments[exact] if 0 < exact < len(arguments) else process.program


def _gradle_executor(process: Described, above: Sequence[Described]) -> str:
    del above
    made = re.search(r"GradleWorkerMain '?(Gradle Test Executor \d+)", process.command)
    return made[1] if made else ""


def _surefire_fork(process: Described, above: Sequence[Described]) -> str:
    """`java -jar surefirebooter.jar FOLDER DATE-jvmRunN ...`, N up to forkCount, and the shell before it."""
    del above
    made = re.search(r"surefirebooter.*-(jvmRun\d+)\b", process.command)
    return made[1] if made else ""


def _vitest_fork(process: Described, above: Sequence[Described]) -> str:
    """A process of vitest's pool of forks, which sets its number in the environment too late.

    Before version 4 it calls itself "node (vitest 1)".
    """
    is_entry = re.search(
        r"\(vitest \d+\)|/(tinypool/dist/entry/process|vitest/dist/workers/\w+)\.js", process.command
    )
    return "vitest" if is_entry and above and "vitest" in above[-1].command else ""


def _playwright_worker(process: Described, above: Sequence[Described]) -> str:
    """Playwright sets TEST_WORKER_INDEX in a process that runs already."""
    del above
    is_entry = re.search(r"/playwright(-core|/test)?/lib/(worker|common)/\w+\.js", process.command)
    return "playwright" if is_entry else ""


def _trial_worker(process: Described, above: Sequence[Described]) -> str:
    """`trial -j`."""
    del above
    return "trial" if "twisted/trial/_dist/workertrial.py" in process.command else ""


def _python_pool(process: Described, above: Sequence[Described]) -> str:
    """A process of unittest-parallel, green or nose2 (with its plug-in mp)."""
    return next((name for name in ("unittest-parallel", "green", "nose2") if _is_in_pool(process, above, name)), "")


def _stestr(process: Described, above: Sequence[Described]) -> str:
    del above
    return "stestr" if "-m stestr.subunit_runner.run" in process.command else ""


def _regrtest(process: Described, above: Sequence[Described]) -> str:
    """`python -m test -j`: CPython's own tests, one file a process."""
    del above
    if not re.search(r"-m test\.(regrtest --worker-args|libregrtest\.worker) ", process.command):
        return ""
    file = re.search(r'"tests": \["(\w+)', process.command)
    return file[1] if file else "regrtest"


def _django(process: Described, above: Sequence[Described]) -> str:
    """`manage.py test --parallel`."""
    return "django" if _is_in_pool(process, above, "--parallel", "test") else ""


def _is_in_pool(process: Described, above: Sequence[Described], *words: str) -> bool:
    """Whether this is a process of a pool that a runner with *words* in its command line has made (multiprocessing).

    A pool forks (the runner's own command line), spawns, or forks from a server that it has spawned.
    """
    of_pool = [each for each in above if "multiprocessing.forkserver" not in each.command]
    if not of_pool:
        return False
    runner = of_pool[-1]
    arguments = [os.path.basename(each.partition("=")[0]) for each in runner.arguments]
    if any(word not in arguments for word in words):
        return False
    return process.command in (above[-1].command, runner.command) or "multiprocessing.spawn" in process.command


def _ctest(process: Described, above: Sequence[Described]) -> str:
    """A test of `ctest -j`; without -j they run one after the other."""
    if not above or above[-1].program != "ctest":
        return ""
    is_parallel = process.environment.get("CTEST_PARALLEL_LEVEL") or any(
        each.startswith(("-j", "--parallel")) for each in above[-1].arguments
    )
    return _test_program(process) if is_parallel else ""


def _test_program(process: Described) -> str:
    """The script of an interpreter, else the program."""
    is_interpreter = process.program.startswith(("python", "node", "sh", "bash", "dash", "perl", "ruby"))
    return _script(process) if is_interpreter else process.program


def _script(process: Described) -> str:
    """The file that an interpreter runs: its first argument but for options. Of a shell's line, the first file."""
    words = [each for each in process.arguments[1:] if not each.startswith("-")]
    if process.program in _SHELLS and "-c" in process.arguments:
        words = [each for each in words if "/" in each or "." in each] or words
    return os.path.basename(words[0]) if words else process.program


def _recipe_of_make(process: Described, above: Sequence[Described]) -> str:
    """A recipe of `make -j`, or of a make below it, which gets that option in its environment."""
    if not above or above[-1].program not in _MAKES:
        return ""
    makes = [each for each in above if each.program in _MAKES]
    is_parallel = any(argument.startswith(("-j", "--jobs")) for make in makes for argument in make.arguments)
    return _test_program(process) if is_parallel else ""


def _started_by_a_shell(process: Described, above: Sequence[Described]) -> str:
    """What a shell starts. In `sh -c` it can be seen whether anything runs in the background."""
    if not above or above[-1].program not in _SHELLS or process.command == above[-1].command:
        return ""
    _, option, line = above[-1].command.partition(" -c ")
    is_parallel = not option or re.search(r"(?<![&>])&(?![&>])", line)
    return _test_program(process) if is_parallel else ""


_MAKES = frozenset({"make", "gmake", "remake"})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})

ROWS: tuple[WorkerRow, ...] = (
    WorkerRow(tool="tox", name_of=_tox_environment, is_value=True),
    WorkerRow(tool="bazel", name_of=_variable("TEST_TARGET"), is_value=True),
    WorkerRow(tool="test shard", name_of=_variable("TEST_SHARD_INDEX", "shard {}"), is_value=True),
    WorkerRow(tool="GNU parallel", name_of=_variable("PARALLEL_SEQ", "job {}"), is_value=True),
    WorkerRow(tool="pytest-xdist", name_of=_variable(XDIST_WORKER), is_value=True),
    WorkerRow(tool="jest", name_of=_variable("JEST_WORKER_ID", "jest {}"), is_value=True),
    WorkerRow(tool="mocha", name_of=_variable("MOCHA_WORKER_ID", "mocha {}"), is_value=True),
    WorkerRow(tool="node --test", name_of=_node_test_file, is_nested=False),
    WorkerRow(tool="go test", name_of=_go_test_binary),
    WorkerRow(tool="cargo test", name_of=_cargo_test_binary),
    WorkerRow(tool=NEXTEST, name_of=_nextest, is_nested=False),
    WorkerRow(tool="vitest", name_of=_vitest_fork, is_nested=False),
    WorkerRow(tool="Playwright", name_of=_playwright_worker, is_nested=False),
    WorkerRow(tool="trial", name_of=_trial_worker, is_nested=False),
    WorkerRow(tool="Python pool", name_of=_python_pool, is_nested=False),
    WorkerRow(tool="stestr", name_of=_stestr, is_nested=False),
    WorkerRow(tool="regrtest", name_of=_regrtest, is_nested=False),
    WorkerRow(tool="Django", name_of=_django, is_nested=False),
    WorkerRow(tool="ctest", name_of=_ctest),
    WorkerRow(tool="Gradle", name_of=_gradle_executor),
    WorkerRow(tool="Surefire", name_of=_surefire_fork, is_nested=False),
    WorkerRow(tool="make", name_of=_recipe_of_make, is_presumed=True),
    WorkerRow(tool="shell", name_of=_started_by_a_shell, is_nested=False, is_presumed=True),
)

VARIABLES = (
    CURRENT_TEST,
    CopyVariable.FIXTURE,  # The fixture that started it, if that outlives its test.
    CopyVariable.STARTED_AT,  # The project's frames at the line that started it, separated by tabs.
    XDIST_WORKER,
    "JEST_WORKER_ID",
    "MOCHA_WORKER_ID",
    "NODE_TEST_CONTEXT",
    "NEXTEST_EXECUTION_MODE",
    "PARALLEL_SEQ",
    "TOX_ENV_NAME",
    "TEST_SHARD_INDEX",
    "TEST_TARGET",
    "CTEST_PARALLEL_LEVEL",
)
"""What sensors record of a process' environment."""


def chain(lineage: Sequence[Described], runners: Collection[int] = ()) -> tuple[Worker, ...]:
    """The workers that the last process of *lineage* is in, the outermost first.

    *lineage*: from the copy's main process, which is in none, to the process itself. A runner that a pytest test
    starts belongs to that test, and so do its workers. Within a worker, and within a program that a shell started,
    what shells start is of one test. *runners*: pids of processes that ran tests at the same time: each is a worker,
    unless the table knows one already, and no longer a presumed one.
    """
    links: list[Worker] = []
    for depth, process in enumerate(lineage[1:], 1):
        if process.environment.get(CURRENT_TEST):
            break
        for row in ROWS:
            name = row.name_of(process, lineage[:depth])
            if not name or (not row.is_nested and any(link.tool == row.tool for link in links)):
                continue
            if row.is_presumed and any(link.tool != row.tool or not row.is_nested for link in links):
                continue
            worker = _worker(row, name, process)
            if worker not in links:
                links.append(worker)
        if process.pid in runners and all(link.command for link in links):
            links = [runner(process)]
    return tuple(links)


def runner(process: Described) -> Worker:
    """*process* as a worker, for the tests that it runs."""
    return Worker(RUNNER, _test_program(process), process.pid, process.start_s)


def _worker(row: WorkerRow, name: str, process: Described) -> Worker:
    if row.is_value:
        return Worker(row.tool, name)
    if row.is_presumed:
        return Worker(row.tool, name, command=process.command)
    return Worker(row.tool, name, process.pid, process.start_s)


def current_test(variables: Mapping[str, str]) -> str:
    """The test that CURRENT_TEST names among *variables*, of a process; "" if there is none."""
    value = variables.get(CURRENT_TEST, "")
    # pytest writes "id (setup)"; the id itself may hold blanks and brackets.
    return value.rpartition(" (")[0] or value


def handed_down(process: Described) -> tuple[Worker, ...]:
    """The workers that the environment of *process* names, for one whose ancestors are not known: the outermost
    first, as far as the table's order tells.
    """
    named = ((row, row.name_of(process, ())) for row in ROWS if row.is_value)
    return tuple(Worker(row.tool, name) for row, name in named if name)
