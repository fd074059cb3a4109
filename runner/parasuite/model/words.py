"""The closed sets of words: each is a member of one enumeration, whose value is what files and reports contain."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """What a socket speaks, as far as ports are concerned. UNKNOWN: only its address was seen."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"
    VSOCK = "vsock"
    UNKNOWN = ""


class SocketState(StrEnum):
    """What a socket that was in the way was doing. GONE: closed by its process, but not yet by the kernel."""

    LISTEN = "listen"
    BOUND = "bound"
    ESTABLISHED = "established"
    TIME_WAIT = "time-wait"
    UNCONNECTED = "unconnected"
    GONE = "gone"

    @property
    def is_owned(self) -> bool:
        """Whether some process still has the socket open."""
        return self not in (SocketState.TIME_WAIT, SocketState.GONE)


class SocketOption(StrEnum):
    """Options that decide who else may use a port.

    LOOPBACK_DEVICE: bound to `lo` by SO_BINDTODEVICE; recorded only where the address alone does not say as much.
    """

    REUSEADDR = "reuseaddr"
    REUSEPORT = "reuseport"
    EXCLUSIVE = "exclusive"
    LOOPBACK_DEVICE = "loopback-device"


class NetworkMode(StrEnum):
    """Which network the copies use.

    HOST: the one that parasuite was started in. PRIVATE: one that parasuite makes for the run, itself included.
    EACH: one that parasuite makes for each copy.
    """

    HOST = "host"
    PRIVATE = "private"
    EACH = "each"


class StartMode(StrEnum):
    """How copies of a pytest target start.

    EXEC: each executes Python. FORK: one process imports the tests, and all are forked from it.
    """

    EXEC = "exec"
    FORK = "fork"


class AttributedBy(StrEnum):
    """How the test of a call is known, from the surest way to the vaguest.

    THREAD_NAME: the runner names the thread after its test; of a long name the system keeps the beginning.
    """

    THREAD = "thread"
    THREAD_START = "thread's start"
    THREAD_NAME = "thread's name"
    PROCESS = "process"
    ENVIRONMENT = "environment"
    PARENT_PROCESS = "parent process"
    FIRST_SAMPLE = "ran in this copy when first sampled"
    NONE = ""


class FixtureScope(StrEnum):
    """How long what a fixture sets up is kept, as pytest names it; NONE outside a fixture.

    Calls in unittest's setUpClass and setUpModule count as made in a fixture of that scope.
    """

    FUNCTION = "function"
    CLASS = "class"
    MODULE = "module"
    PACKAGE = "package"
    SESSION = "session"
    NONE = ""

    @property
    def outlives_test(self) -> bool:
        """Whether several tests may share what the fixture sets up."""
        return self not in (FixtureScope.FUNCTION, FixtureScope.NONE)


class CopyVariable(StrEnum):
    """Variables that parasuite sets in the environment of a copy. Suites may read SEED and those up to COPY_DIR."""

    PARASUITE = "PARASUITE"
    RUN_ID = "PARASUITE_RUN_ID"
    COPY = "PARASUITE_COPY"
    COPIES = "PARASUITE_COPIES"
    COPY_DIR = "PARASUITE_COPY_DIR"
    RECORDER = "PARASUITE_RECORDER"
    CLOCK = "PARASUITE_CLOCK"
    BYTECODE = "PARASUITE_BYTECODE"
    RESULTS = "PARASUITE_RESULTS"
    FIXTURE = "PARASUITE_FIXTURE"
    STARTED_AT = "PARASUITE_STARTED_AT"
    SEED = "PARASUITE_SEED"
    IMPORTER = "PARASUITE_IMPORTER"


class TestTool(StrEnum):
    """A tool whose output says which tests it ran. NONE: not known from the command."""

    __test__ = False  # pytest would collect it as a test class because of its name.

    GO = "go"
    CARGO = "cargo"
    NODE = "node"
    NONE = ""


class CopyPhase(StrEnum):
    """A step in the life of a copy.

    FAILED: it could not be started. TIMED_OUT, INTERRUPTED, STOPPED_EARLY (--fail-fast): parasuite is stopping it.
    EXITED: its main process ended. LEFT_BEHIND: processes outlived the main one and its grace time. DESCRIBED: what a
    copy over its time was doing has been written down. UNKILLABLE: some processes could not be ended. LOST: its
    supervision died. GONE: its whole tree has ended.
    """

    STARTED = "started"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    INTERRUPTED = "interrupted"
    STOPPED_EARLY = "stopped-early"
    EXITED = "exited"
    LEFT_BEHIND = "left-behind"
    DESCRIBED = "described"
    UNKILLABLE = "unkillable"
    LOST = "lost"
    GONE = "gone"


class SensorStatus(StrEnum):
    """How a sensor is.

    MISSING: the probe found that it cannot work here. PARTIAL: it sees less than it could. BLIND: it stopped seeing
    after the start. DOWN: it ended in order.
    """

    UP = "up"
    DOWN = "down"
    MISSING = "missing"
    PARTIAL = "partial"
    BLIND = "blind"


class RunEnd(StrEnum):
    """How a run ended. NONE: it has no end, since parasuite itself was killed."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    SUPERVISOR_LOST = "supervisor-lost"
    NONE = ""


class Evidence(StrEnum):
    """How well something is known, the weakest first.

    SAMPLED: seen by looking now and then. ATTEMPTED: the call was seen, and its result was looked up a moment later.
    EXACT: the call and its result were seen. PROVEN: parasuite has played the other side, and the suite failed, hung
    or talked to it.
    """

    SAMPLED = "sampled"
    ATTEMPTED = "attempted"
    EXACT = "exact"
    PROVEN = "proven"

    @property
    def rank(self) -> int:
        """0 for the weakest."""
        return _EVIDENCE_RANK[self]


_EVIDENCE_RANK = {evidence: rank for rank, evidence in enumerate(Evidence)}


def weaker(*evidence: Evidence) -> Evidence:
    """The weakest of *evidence*: a finding is only as good as the worse known of its sides."""
    return min(evidence, key=lambda each: each.rank)


class Severity(StrEnum):
    """How grave a finding is, the least grave first. NOTE: in every report, but only counted on a terminal."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for the least grave."""
        return _SEVERITY_RANK[self]


_SEVERITY_RANK = {severity: rank for rank, severity in enumerate(Severity)}


class FailOn(StrEnum):
    """The least severity of a finding that makes a run fail."""

    NEVER = "never"
    WARNING = "warning"
    ERROR = "error"


class FailFast(StrEnum):
    """What is stopped at the first test that failed or copy that died. COPY: the copy in which that happened."""

    NEVER = "never"
    COPY = "copy"
    ALL = "all"


class OutputFormat(StrEnum):
    """In which form `run` and `report` print the report.

    FULL: for people. CONCISE: a line per problem. JSON: findings.json. GITHUB: annotations for GitHub Actions, then
    the full report. GITLAB: Code Quality. SARIF: version 2.1.0.
    """

    FULL = "full"
    CONCISE = "concise"
    JSON = "json"
    GITHUB = "github"
    GITLAB = "gitlab"
    SARIF = "sarif"
    MARKDOWN = "markdown"


class TableFormat(StrEnum):
    """How commands that look at many runs print what they found. FULL: for a terminal."""

    FULL = "full"
    MARKDOWN = "markdown"
    JSON = "json"


class SuppressedBy(StrEnum):
    """Where it was decided that a finding does not count. PROJECT: in a row of pyproject.toml. COMMENT: beside the
    code that it is about. BASELINE: in the file that `parasuite baseline` writes.
    """

    PROJECT = "pyproject.toml"
    COMMENT = "comment"
    BASELINE = "baseline"


class Until(StrEnum):
    """What ends a series of rounds. FAILURE: a test fails, or a copy dies. FINDING: one at or above --fail-on."""

    FAILURE = "failure"
    FINDING = "finding"


class ExitCodeFrom(StrEnum):
    """Whose exit code a run has. PARASUITE: that of its verdict. SUITE: that of the program that the copies ran."""

    PARASUITE = "parasuite"
    SUITE = "suite"


class OptionalReport(StrEnum):
    """A report that a run writes only if a setting says so. PAGE: report.html. TRACE: trace.json.gz."""

    PAGE = "page"
    TRACE = "trace"


class Role(StrEnum):
    """What one side of a finding did. DREW: was assigned the port by the kernel, and released it."""

    DREW = "drew"
    WANTED = "wanted"
    HELD = "held"
    CLIENT = "client"
    SERVER = "server"
    HOLDER = "holder"


class TestOutcome(StrEnum):
    """How a test ended.

    FAILED: the test itself. ERROR: its setup, its teardown or its collection; in unittest any exception but a failed
    assertion. LOST: it was started or collected, and its copy died first. NOT_RUN: its runner stopped in order before
    it. NOT_COLLECTED: other copies collected it.
    """

    __test__ = False  # pytest would collect it as a test class because of its name.

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    LOST = "lost"
    SKIPPED = "skipped"
    NOT_RUN = "not-run"
    NOT_COLLECTED = "not-collected"

    @property
    def is_bad(self) -> bool:
        """Whether it makes a run fail."""
        return self in _BAD_TEST_OUTCOMES


_BAD_TEST_OUTCOMES = (TestOutcome.FAILED, TestOutcome.ERROR, TestOutcome.LOST, TestOutcome.NOT_COLLECTED)
