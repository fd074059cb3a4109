"""`python -m netsupport`: ports for shell scripts, and commands that run with their ports reserved.

    port=$(python -m netsupport)
    python -m netsupport --hold -- openssl s_server -accept {port} ...
    python -m netsupport -n 2 --hold -- ./check.sh          # reads $NETSUPPORT_PORTS

Printed ports are outside the range that the kernel assigns from, but they are not reserved after this program has
ended. With --hold the command takes over the reservation, until it and all its children have ended.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

from netsupport.leases import Guarantee, LeaseError, PortLeases, reserve_ports
from netsupport.locks import HIGHEST

PORTS_VARIABLE = "NETSUPPORT_PORTS"

_CANNOT_EXECUTE, _NOT_FOUND = 126, 127
"""The exit statuses of a shell, so that scripts see no difference."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. Source of 126 and 127: POSIX, Shell Command Language 2.8.2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    place = words.index("--") if "--" in words else len(words)
    own, command = words[:place], words[place + 1 :]
    parser = _parser()
    options = parser.parse_args(own)
    if options.hold != bool(command):
        parser.error("--hold needs a command, and a command needs --hold: python -m netsupport --hold -- CMD {port}")
    if not 1 <= options.number <= HIGHEST:
        parser.error(f"-n is {options.number}; it must be from 1 to {HIGHEST}")
    try:
        leases = reserve_ports(
            options.number,
            kind="udp" if options.udp else "tcp",
            child_reuses_address=bool(command) and not options.no_reuseaddr,
        )
    except ValueError as failure:  # Of NETSUPPORT_PORT_RANGE, since all else is checked.
        parser.error(str(failure))
    except (LeaseError, OSError) as failure:
        print(f"netsupport: {failure}", file=sys.stderr)  # noqa: T201 - a command-line program
        return 1
    with leases:
        if command:
            return _run(command, leases)
        for lease in leases:
            print(lease)  # noqa: T201
        if any(lease.guarantee is Guarantee.PICK for lease in leases):
            print(f"netsupport: the port may be taken by another process: {leases[0].reason}", file=sys.stderr)  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m netsupport",
        usage="%(prog)s [-n N] [--udp] [--hold [--no-reuseaddr] -- CMD ...]",
        description="Print unused ports, one per line, or run a command with its ports reserved.",
        epilog="In CMD, {port} is replaced by the first port; {port1}, {port2}, ... by the first, the second, ... "
        f"The environment variable {PORTS_VARIABLE} contains all ports, separated by spaces.",
    )
    parser.add_argument("-n", "--number", type=int, default=1, metavar="N", help="number of ports (default: 1)")
    parser.add_argument("--udp", action="store_true", help="reserve UDP ports instead of TCP ports")
    parser.add_argument("--hold", action="store_true", help="run CMD and keep the ports reserved until it ends")
    parser.add_argument(
        "--no-reuseaddr",
        action="store_true",
        help="CMD does not set SO_REUSEADDR: lock its ports instead of binding them",
    )
    return parser


def _run(command: Sequence[str], leases: PortLeases) -> int:
    """Replace this process by *command*; on Windows, run it and return its exit status."""
    names = {"{port}": leases[0]} | {f"{{port{place}}}": lease for place, lease in enumerate(leases, 1)}
    filled = list(command)
    for name, lease in names.items():
        filled = [word.replace(name, str(lease)) for word in filled]
    environment = os.environ | {PORTS_VARIABLE: " ".join(map(str, leases))}
    inherited: list[int] = []
    try:
        if os.name != "posix":  # pragma: no cover - Windows
            return subprocess.run(filled, env=environment, check=False).returncode
        try:
            for lease in leases:
                inherited += lease.inheritable_copies()
        except OSError as failure:
            why = f"cannot pass the ports to the command: {failure.strerror}; raise `ulimit -n`"
            print(f"netsupport: {why}", file=sys.stderr)  # noqa: T201
            return 1
        # Replacing this process leaves nothing to forward: signals and the exit status are the command's own.
        with _default_signals():
            os.execvpe(filled[0], filled, environment)
    except OSError as failure:
        print(f"netsupport: cannot run {filled[0]}: {failure.strerror}", file=sys.stderr)  # noqa: T201
        return _NOT_FOUND if isinstance(failure, FileNotFoundError) else _CANNOT_EXECUTE
    finally:
        for descriptor in inherited:
            os.close(descriptor)


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Reset the signals that Python ignores to their defaults, so that `yes | head` ends by SIGPIPE."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGPIPE, signal.SIGXFSZ)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
