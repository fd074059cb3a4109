"""Kernels, sandboxes and limits that refuse something: calls are performed, and the report says what was missed."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import parasuite
import pytest
from parasuite.model.events import Bind, Listen, Release
from parasuite.model.network import OUR_NETWORK, Network
from parasuite.model.party import Party
from parasuite.sensors.seccomp.filter import ARCHITECTURE
from parasuite.sensors.seccomp.foreign import THIS_KERNEL, Kernel
from parasuite.sensors.seccomp.socket_info import Networks, SocketInfo, socket_info

from netsupport.tests import namespaces

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.tracing import (
    ON_THE_LOOPBACK_DEVICE,
    SOCKETS,
    WITHOUT_DUPLICATES,
    Tracer,
    only,
    python,
    room_for_descriptors,
    trace,
    tracer,
)

if TYPE_CHECKING:
    import _socket


BINDS = 's = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); assert s.getsockname()[1]'


def test_a_filter_within_a_filter_is_refused_with_ebusy() -> None:
    code = f"""
        import sys, errno
        sys.path.insert(0, {str(Path(parasuite.__file__).parents[1])!r})
        from parasuite.sensors.seccomp.filter import SeccompError, install
        try:
            install()
        except SeccompError as error:
            sys.exit(error.errno)
        """
    trace(code, expected=errno.EBUSY)


def test_only_a_user_without_privilege_gives_up_that_of_setuid_programs() -> None:
    status = 0 if os.geteuid() == 0 else 1
    code = """
        import re
        raise SystemExit(int(re.search("NoNewPrivs:.(.)", open("/proc/self/status").read())[1]))
        """
    trace(code, expected=status)


def test_where_duplicates_are_refused_calls_are_reported_as_attempts() -> None:
    events = trace(
        """
        s = socket.create_server(("127.0.0.1", 0)); port = s.getsockname()[1]
        t = socket.socket()
        try: t.bind(("127.0.0.1", port))
        except OSError: pass
        t.connect_ex(("127.0.0.1", port))  # The thread's next call: the result of the last one is looked up.
        s.close()
        """,
        kernel=WITHOUT_DUPLICATES,
    )
    bind, second = (event for event in events if isinstance(event, Bind))
    listen, release = only(events, Listen)[0], only(events, Release)[0]
    assert isinstance(listen, Listen)
    assert isinstance(release, Release)
    assert (bind.errno, bind.got) == ("?", listen.got)
    assert listen.errno == "?"
    assert bind.cookie == listen.cookie == release.cookie
    assert (second.errno, second.got) == ("?", None)
    # Whether its copy's own socket is another worker's is for the judge to say.
    assert [(holder.party, holder.pid) for holder in second.holders] == [(Party(0), bind.caller.process.pid)]


def test_where_duplicates_are_refused_the_table_shows_the_loopback_device() -> None:
    events = trace(ON_THE_LOOPBACK_DEVICE, kernel=WITHOUT_DUPLICATES)
    assert [event.options for event in events if isinstance(event, Bind)] == [("loopback-device",), ()]


def test_tracing_leaves_no_descriptor_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    trace('socket.create_server(("127.0.0.1", 0))')
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tracer_can_be_made_more_than_once() -> None:
    for _ in range(3):
        Tracer().close()


ENTER = "from netsupport.tests import namespaces; namespaces.enter()"
ROOT = Path(namespaces.__file__).parents[2]


@pytest.mark.parametrize("duplicates", ["permitted", "refused"])
def test_an_attempt_in_another_network_has_no_holders_in_ours(duplicates: str) -> None:
    if subprocess.run([sys.executable, "-c", ENTER], capture_output=True, cwd=ROOT, check=False).returncode:
        pytest.skip("user and network namespaces are refused here")
    # Before Linux 5.19 duplicates are permitted, and yet no call is performed for its caller.
    kernel, restart_safe = (WITHOUT_DUPLICATES, True) if duplicates == "refused" else (THIS_KERNEL, False)
    with tracer(kernel=kernel, restart_safe=restart_safe) as made, socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        code = f"""
            for end in ("bind", "connect_ex"):
                getattr(socket.socket(), end)(("127.0.0.1", {port}))
            """
        made.start(python(SOCKETS + textwrap.dedent(code)), before=namespaces.enter)
        assert made.run() == [0]
        (bind,) = only(made.events, Bind)
        assert isinstance(bind, Bind)
        assert (bind.errno, bind.holders, bind.asked.network.is_ours) == ("?", (), False)


def test_a_namespace_with_the_inode_of_one_that_ended_is_another_one() -> None:
    class InNamespace:
        """A fake of a socket, since the kernel gives an inode again when it likes."""

        def __init__(self, number: int) -> None:
            self._number = number

        def getsockopt(self, *_: int) -> bytes:
            return self._number.to_bytes(8, sys.byteorder)

    networks = Networks()
    first, second = (cast("_socket.socket", InNamespace(number)) for number in (1 << 40, (1 << 40) + 1))
    seen = [networks.of(sock, os.getpid(), 0) for sock in (first, second, first)]
    assert seen[0] == seen[2] == Network(os.stat("/proc/self/ns/net").st_ino)
    assert seen[1] not in (OUR_NETWORK, seen[0])


def test_a_call_that_no_descriptor_is_left_to_inspect_is_performed_and_counted() -> None:
    with tracer() as made:
        made.start(python(SOCKETS + BINDS))
        with room_for_descriptors(0):
            assert made.run() == [0]
        why = "OSError: [Errno 24] Too many open files"
        assert made.watch.failure.startswith(why)
        assert [note.partition(why)[0] for note in made.watch.notes()] == [
            "it failed 2 times, and each time what it looked at went on unseen: "
        ]


def test_a_call_for_whose_duplicate_no_descriptor_is_left_is_not_taken_for_a_refusal() -> None:
    def without_room(*_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with tracer(kernel=Kernel(duplicate=without_room)) as made:
        made.start(python(SOCKETS + BINDS))
        assert made.run() == [0]
        assert (made.watch.failure, made.events) == ("OSError: [Errno 24] Too many open files", [])


def test_a_call_of_a_process_that_is_hidden_in_proc_is_performed_and_counted() -> None:
    def hidden(_: int) -> int:
        raise PermissionError(errno.EPERM, "as hidepid=1 does")

    with tracer(kernel=Kernel(process_of=hidden)) as made:
        made.start(python(SOCKETS + BINDS))
        assert made.run() == [0]
        assert (made.watch.failure, made.watch.notes()) == (
            "",
            ["2 calls of processes that may not be looked at (hidden in /proc)"],
        )


class Faulty:
    """The network of a socket on which everything that is asked about it fails."""

    @property
    def is_ours(self) -> bool:
        raise OSError(errno.EIO, "a fault")


def fails(*_: object) -> SocketInfo:
    raise OSError(errno.EIO, "a fault")


def fails_later(sock: _socket.socket, network: Network) -> SocketInfo:
    info = socket_info(sock, network)
    info.network = cast("Network", Faulty())
    return info


@pytest.mark.parametrize("described", [fails, fails_later])
def test_a_call_that_was_performed_is_replied_to_although_a_later_step_fails(
    described: Callable[[_socket.socket, Network], SocketInfo],
) -> None:
    with tracer(kernel=Kernel(socket_info=described)) as made:
        # If it were performed once more, the bind would be refused: EINVAL.
        made.start(python(SOCKETS + BINDS))
        assert made.run() == [0]
        assert made.watch.failure == "OSError: [Errno 5] a fault"
