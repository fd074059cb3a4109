"""What orchestrator, supervisor, spawner and inits send one another: a class per message, and JSON to carry it.

Orders go down, reports come up. Times are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from parasuite.model.network_plan import NetworkPlan

# --- orders about a copy: from the orchestrator, by way of the supervisor, to the copy's init ----------------------


@dataclass(frozen=True, slots=True)
class SignalTree:
    """Send *signal* to every process of the copy."""

    copy: int
    signal: int


@dataclass(frozen=True, slots=True)
class SignalMain:
    """Send *signal* to the main process of the copy, if it lives."""

    copy: int
    signal: int


@dataclass(frozen=True, slots=True)
class NoteCpuTime:
    """Remember the CPU time that the copy has used, so that DumpStacks can tell a busy copy from a hung one."""

    copy: int


@dataclass(frozen=True, slots=True)
class DumpStacks:
    """List the copy's processes in the file *list_path*, then have each Python process write its stacks (SIGABRT)."""

    copy: int
    list_path: str


@dataclass(frozen=True, slots=True)
class KillTree:
    """Kill every process of the copy."""

    copy: int


@dataclass(frozen=True, slots=True)
class KillInit:
    """Kill the copy's init itself, which did not carry out KillTree. The spawner carries this out."""

    copy: int


CopyOrder: TypeAlias = SignalTree | SignalMain | NoteCpuTime | DumpStacks | KillTree | KillInit


# --- other orders -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with Pong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableSensor:
    """Observe the socket calls of every copy that is started from now on.

    *events_path*: the file to append events to. *addresses*: this host's own. *page_folders*: by copy, where its
    recorders publish tests and lines; () without recorders. *is_recorded*: the recorders write events of their own.
    *events_bytes_max*: how large the file may become.
    """

    events_path: str
    addresses: tuple[str, ...]
    page_folders: tuple[str, ...]
    is_recorded: bool
    events_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Provoke:
    """Have the sensor take the ports of a Suspect, whose fields these are, before the copy asks for them.

    The sensor must have been enabled before.
    """

    cause: str
    protocol: str
    port: int
    places: tuple[str, ...]
    programs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartCopy:
    """Start a copy: run *argv* in *cwd* with the environment *env*, its output appended to the file *output*.

    If *output* is "", the copy gets the standard streams that parasuite was started with. *ignored*: the numbers of
    the signals that it ignores at its start. *network*: the copy gets a network of its own, which is to be like that;
    None if it uses parasuite's. *is_forked*: from the importer, which runs *argv* in *cwd* already.
    """

    copy: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    output: str
    ignored: tuple[int, ...]
    network: NetworkPlan | None = None
    is_forked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StartImporter:
    """Start the process that imports the tests and forks copies; ImporterReady follows. Fields as in StartCopy."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    output: str


@dataclass(frozen=True, slots=True)
class EndImporter:
    """No copy is forked from the importer any more. *is_at_once*: kill it, and all that it started."""

    is_at_once: bool


@dataclass(frozen=True, slots=True)
class SpawnImporter:
    """Fork the process that becomes the importer. The packet carries its end of a channel on which RunMainProcess
    comes, and the socket on which it reports that it is ready and takes ForkInit.
    """


@dataclass(frozen=True, slots=True)
class KillImporter:
    """Kill the importer, and all that it started."""


@dataclass(frozen=True, slots=True)
class ImporterEnded:
    """From the spawner: the importer has ended, or could not be started."""


@dataclass(frozen=True, slots=True)
class ForkInit:
    """To the importer: fork an init for *copy*, and its main process. The packet carries what SpawnInit's does, and
    before that the lifeline.
    """

    copy: int


@dataclass(frozen=True, slots=True)
class AdoptInit:
    """To the spawner: its child *pid* is the init of *copy*. It was forked from the importer."""

    copy: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnInit:
    """Fork an init for *copy*. The packet carries its end of the channel and, if observed, of the sensor's socket."""

    copy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMainProcess:
    """What StartCopy says, from the supervisor to the copy's init.

    *descriptors*: the soft and hard limit of open files that parasuite was started with, as setrlimit(2) has them.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    output: str
    ignored: tuple[int, ...]
    descriptors: tuple[int, int]
    network: NetworkPlan | None = None


# --- reports about a copy -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The main process *pid* runs; *init* is the pid of the process whose descendants are the copy's tree."""

    copy: int
    t_ns: int
    pid: int
    init: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed:
    """The copy could not be started. *why*: for people.

    *status*: what a shell would exit with; None if it did not come to the execution of the program.
    """

    copy: int
    t_ns: int
    why: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MainExited:
    """The main process ended. *status*: as subprocess gives it, negative for a signal."""

    copy: int
    t_ns: int
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The list that DumpStacks asks for is written. *why*: whether the copy was busy or hung, "" if not known."""

    copy: int
    t_ns: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeKilled:
    """KillTree was carried out. *count*: processes that were killed. *left*: those that could not be, for people."""

    copy: int
    t_ns: int
    count: int
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InitLost:
    """The copy's init died before its tree, which was killed then. *left*: what could not be killed, for people."""

    copy: int
    t_ns: int
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeGone:
    """The last process of the copy has ended."""

    copy: int
    t_ns: int


CopyReport: TypeAlias = Started | StartFailed | MainExited | Described | TreeKilled | InitLost | TreeGone


# --- other reports ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to Ping."""


@dataclass(frozen=True, slots=True)
class InitReady:
    """The first message of an init: its pid, and why it may not be a subreaper, "" if it is one."""

    pid: int
    no_subreaper: str


@dataclass(frozen=True, slots=True)
class ImporterReady:
    """The importer has imported the tests. *why*: why copies cannot be forked from it, for people; "" if they can."""

    why: str


@dataclass(frozen=True, slots=True)
class NoSubreaper:
    """An init may not be a subreaper, and *why*: what leaves its parent also leaves the copy's tree."""

    why: str


Message: TypeAlias = (
    CopyOrder
    | Ping
    | EnableSensor
    | Provoke
    | StartCopy
    | StartImporter
    | EndImporter
    | SpawnInit
    | SpawnImporter
    | KillImporter
    | ImporterEnded
    | ForkInit
    | AdoptInit
    | RunMainProcess
    | CopyReport
    | Pong
    | InitReady
    | ImporterReady
    | NoSubreaper
)

_CLASSES: dict[str, type[Message]] = {
    message.__name__: message
    for message in (
        SignalTree,
        SignalMain,
        NoteCpuTime,
        DumpStacks,
        KillTree,
        KillInit,
        Ping,
        EnableSensor,
        Provoke,
        StartCopy,
        StartImporter,
        EndImporter,
        SpawnInit,
        SpawnImporter,
        KillImporter,
        ImporterEnded,
        ForkInit,
        AdoptInit,
        RunMainProcess,
        Started,
        StartFailed,
        MainExited,
        Described,
        TreeKilled,
        InitLost,
        TreeGone,
        Pong,
        InitReady,
        ImporterReady,
        NoSubreaper,
    )
}


def shell_status(error: OSError) -> int:
    """What a shell exits with if *error* keeps it from executing a program: 127 if there is none, else 126.

    Source: POSIX.1-2017, Shell Command Language, 2.8.2.
    """
    return 127 if isinstance(error, FileNotFoundError) else 126


def to_json(message: Message) -> bytes:
    """*message* as JSON without a line break. Lone surrogates are escaped, so any file name survives."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    return json.dumps({"message": type(message).__name__, **values}, default=asdict).encode()


def from_json(text: bytes) -> Message:
    """What `to_json` was given."""
    values = json.loads(text)
    message = _CLASSES[values.pop("message")]
    # JSON has only lists, and a message has only tuples.
    details: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    if plan := details.get("network"):
        details["network"] = _plan(**plan)
    return message(**details)


def network_text(plan: NetworkPlan) -> str:
    """*plan* as JSON; `network_of` reverses this."""
    return json.dumps(asdict(plan))


def network_of(text: str) -> NetworkPlan:
    """What `network_text` was given."""
    return _plan(**json.loads(text))


def _plan(addresses: list[str], settings: dict[str, str], port_range: list[int] | None) -> NetworkPlan:
    ports = None if port_range is None else (port_range[0], port_range[1])
    return NetworkPlan(addresses=tuple(addresses), settings=settings, port_range=ports)
