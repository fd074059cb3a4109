"""What the exact sensor says of Unix sockets: which binds succeeded, why others failed, and which sockets ended."""

from __future__ import annotations

import os
import socket
import sys
import textwrap
from pathlib import Path

import pytest
from parasuite.model.events import ATTEMPTED, FAILED, Bind, Event, Release
from parasuite.sensors import netlink
from parasuite.sensors.seccomp.filter import ARCHITECTURE
from parasuite.sensors.seccomp.foreign import THIS_KERNEL, Kernel

if sys.platform != "linux" or ARCHITECTURE is None:
    pytest.skip("seccomp is Linux only, and known here for x86_64 and aarch64", allow_module_level=True)

from runner.tests.tracing import SOCKETS, WITHOUT_DUPLICATES, only, python, tracer

_PRELUDE = SOCKETS + textwrap.dedent(
    """
    import sys
    made = []
    def unix(kind=socket.SOCK_STREAM):
        made.append(socket.socket(socket.AF_UNIX, kind))
        return made[-1]
    def bind(sock, name):
        try:
            sock.bind(name)
        except OSError as error:
            return error.errno
        return 0
    """
)


# What a bind came to is looked up after the reply to the thread's next call, and before its next but one is received:
# with two more calls, the process is there for as long as it is looked at.
_TWO_MORE_CALLS = "\nfor _ in range(2): socket.socket().bind(('127.0.0.1', 0))\n"


def trace_in(folder: Path, code: str, *, kernel: Kernel = THIS_KERNEL) -> list[Event]:
    """The events of a Python that runs *code* in *folder*, about Unix sockets."""
    with tracer(kernel=kernel) as made:
        program = _PRELUDE + textwrap.dedent(code) + _TWO_MORE_CALLS
        made.start(python(program), before=lambda: os.chdir(folder))
        assert made.run() == [0]
        assert made.watch.notes() == []
        return [event for event in made.events if not _is_of_those_calls(event)]


def _is_of_those_calls(event: Event) -> bool:
    """Whether it is about an internet socket: only these have releases that are timed."""
    return (isinstance(event, Bind) and event.asked.is_internet) or (isinstance(event, Release) and event.is_timed)


def results(events: list[Event]) -> list[tuple[str, str, bool]]:
    """Of each bind in order of time: the last part of its name, its errno, and whether a holder is named."""
    binds = sorted(only(events, Bind), key=lambda bind: bind.t_ns)
    return [(Path(bind.asked.address).name, bind.errno, bool(bind.holders)) for bind in binds]


def test_a_path_that_was_bound_is_known_in_full_and_so_is_its_socket(tmp_path: Path) -> None:
    (bind,) = only(trace_in(tmp_path, 's = unix(); s.bind("s"); s.listen()'), Bind)
    assert bind.got == bind.asked
    assert (bind.asked.address, bind.errno) == (str(tmp_path / "s"), "")
    assert bind.cookie
    assert bind.inode


def test_without_a_listen_the_kernels_table_shows_that_a_path_was_bound(tmp_path: Path) -> None:
    code = 's = unix(socket.SOCK_DGRAM); s.bind("s"); unix().bind("t")'
    assert results(trace_in(tmp_path, code))[0] == ("s", "", False)


def test_a_path_that_begins_with_an_at_sign_is_a_path(tmp_path: Path) -> None:
    assert results(trace_in(tmp_path, 'unix().bind("@s"); unix().bind("t")'))[0] == ("@s", "", False)
    assert (tmp_path / "@s").is_socket()


def test_a_bind_to_a_folder_that_does_not_exist_is_known_to_have_failed(tmp_path: Path) -> None:
    code = "assert bind(unix(), 'no/s') == 2; unix().bind('s'); unix().bind('t')"
    assert results(trace_in(tmp_path, code))[0] == ("s", FAILED, False)


def test_a_bind_to_a_missing_folder_is_no_success_where_its_socket_is_closed_at_once(tmp_path: Path) -> None:
    code = "assert bind(s := unix(), 'no/s') == 2; s.close(); unix().bind('t')"
    bind = min(only(trace_in(tmp_path, code), Bind), key=lambda bind: bind.t_ns)
    assert (bind.got, bind.holders) == (None, ())
    # FAILED if it was looked up before it was closed.
    assert bind.errno in (ATTEMPTED, FAILED)


def test_a_path_that_is_bound_and_closed_at_once_is_known_by_its_new_file(tmp_path: Path) -> None:
    events = trace_in(tmp_path, "s = unix(); s.bind('s'); s.close(); unix().bind('t')")
    assert results(events)[0] == ("s", "", False)
    bind = min(only(events, Bind), key=lambda bind: bind.t_ns)
    # It has a cookie only if it was looked up before it was closed; else it is released at once.
    released = [release for release in only(events, Release) if isinstance(release, Release)]
    assert sum(release.inode == bind.inode for release in released) == (0 if bind.cookie else 1)


def test_a_path_that_is_bound_closed_and_removed_at_once_has_been_bound(tmp_path: Path) -> None:
    events = trace_in(
        tmp_path, "s = unix(); s.bind('s'); s.close(); os.unlink('s'); unix().bind('t'); unix().bind('u')"
    )
    first = min(only(events, Bind), key=lambda bind: bind.t_ns)
    assert isinstance(first, Bind)
    assert first.got is not None
    assert first.got.address == f"{tmp_path}/s"


def test_a_bind_to_the_path_of_an_open_socket_names_it(tmp_path: Path) -> None:
    code = "s = unix(); s.bind('s'); s.listen(); assert bind(unix(), 's') == 98; unix().bind('t'); unix().bind('u')"
    events = trace_in(tmp_path, code)
    assert results(events)[:2] == [("s", "", False), ("s", "EADDRINUSE", True)]
    first, refused = sorted(only(events, Bind), key=lambda bind: bind.t_ns)[:2]
    assert [holder.cookie for holder in refused.holders] == [first.cookie]


@pytest.mark.parametrize("left_there", ["s = unix(); s.bind('s'); s.listen(); s.close()", "open('s', 'w').close()"])
def test_a_bind_to_a_path_where_only_a_file_is_left_names_no_one(tmp_path: Path, left_there: str) -> None:
    code = f"{left_there}; t = unix(); assert bind(t, 's') == 98; unix().bind('t'); unix().bind('u')"
    binds = results(trace_in(tmp_path, code))
    assert ("s", "EADDRINUSE", False) in binds
    assert ("s", "EADDRINUSE", True) not in binds


def test_a_socket_that_has_a_name_already_cannot_get_another(tmp_path: Path) -> None:
    code = "s = unix(); s.bind('s'); assert bind(s, 't') == 22; unix().bind('u'); unix().bind('v')"
    assert results(trace_in(tmp_path, code))[:2] == [("s", "", False), ("t", FAILED, False)]


def test_a_socket_that_is_gone_is_released_before_the_next_one_gets_its_path(tmp_path: Path) -> None:
    turn = "s = unix(); s.bind('s'); s.listen(); s.close(); os.unlink('s')\n"
    events = sorted(trace_in(tmp_path, turn * 2), key=lambda event: event.t_ns)
    kinds = [event.kind for event in events if isinstance(event, Bind | Release)]
    assert kinds == ["bind", "release", "bind"]


def test_a_socket_that_has_lost_its_path_to_another_is_not_released(tmp_path: Path) -> None:
    turn = "s = unix(); s.bind('s'); s.listen(); os.unlink('s')\n"
    events = trace_in(tmp_path, turn * 2)
    assert [errno for _, errno, _ in results(events)] == ["", ""]
    assert only(events, Release) == []


def test_a_socket_that_another_process_has_still_open_holds_its_path(tmp_path: Path) -> None:
    code = """
        s = unix(); s.bind("s"); s.listen()
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            here.close(); s.close()
            _, (passed,), _, _ = socket.recv_fds(there, 1, 1)
            there.send(b"+")
            os._exit(len(there.recv(1)))
        socket.send_fds(here, [b"x"], [s.fileno()])
        here.recv(1)
        s.close()
        assert bind(unix(), "s") == 98
        unix().bind("t")  # When this is served, the sensor has asked who was in the way.
        there.close(); here.close()
        assert os.waitpid(pid, 0)[1] == 0
        """
    assert ("s", "EADDRINUSE", True) in results(trace_in(tmp_path, code))


def test_an_abstract_name_is_bound_or_refused_as_it_would_be_untraced(tmp_path: Path) -> None:
    code = """
        name = "\\0" + os.getcwd()
        assert bind(s := unix(), name) == 0
        assert s.getsockname() == os.fsencode(name)
        assert bind(unix(), name) == 98
        assert bind(s, name + "2") == 22
        s.close()
        assert bind(s := unix(socket.SOCK_DGRAM), name) == 0
        """
    events = trace_in(tmp_path, code)
    assert [(errno, held) for _, errno, held in results(events)] == [
        ("", False),
        ("EADDRINUSE", True),
        ("EINVAL", False),
        ("", False),
    ]
    assert len(only(events, Release)) == 1


def test_the_sensor_does_not_keep_an_abstract_name_for_a_moment_longer_than_its_owner(tmp_path: Path) -> None:
    code = """
        name = "\\0" + os.getcwd()
        for _ in range(100):
            s = unix(); s.bind(name); s.close()
            pid = os.fork()
            if pid == 0:
                os._exit(bind(unix(), name))
            assert os.waitpid(pid, 0)[1] == 0
        """
    assert {errno for _, errno, _ in results(trace_in(tmp_path, code))} == {""}


@pytest.mark.parametrize("is_abstract", [True, False])
def test_a_process_outside_the_run_that_has_the_name_is_named(tmp_path: Path, is_abstract: bool) -> None:
    name = f"\0{tmp_path}/s" if is_abstract else f"{tmp_path}/s"
    with socket.socket(socket.AF_UNIX) as outside:
        outside.bind(name)
        outside.listen()
        events = trace_in(tmp_path, f"assert bind(unix(), {name!r}) == 98; unix().bind('t')")
    refused = min(only(events, Bind), key=lambda bind: bind.t_ns)
    assert refused.errno == "EADDRINUSE"
    assert [(holder.party, holder.pid, holder.state) for holder in refused.holders] == [(None, os.getpid(), "listen")]


def test_in_another_network_a_path_is_known_to_be_bound_once_its_socket_listens(tmp_path: Path) -> None:
    code = """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x10000000 | 0x40000000):
            sys.exit(3)
        s = unix(); s.bind("s"); s.listen(); s.close(); os.unlink("s")
        s = unix(); s.bind("s"); s.listen()
        """
    with tracer() as made:
        made.start(python(_PRELUDE + textwrap.dedent(code)), before=lambda: os.chdir(tmp_path))
        if made.run() == [3]:
            pytest.skip("user and network namespaces are refused here")
        events = made.events
    assert [errno for _, errno, _ in results(events)] == ["", ""]
    assert len(only(events, Release)) == 1
    assert not any(bind.asked.network.is_ours for bind in only(events, Bind))


def test_names_that_the_kernel_chooses_differ(tmp_path: Path) -> None:
    binds = only(trace_in(tmp_path, "for _ in range(3): unix().bind('')\nunix().bind('s')"), Bind)
    assert len({bind.got.address for bind in binds if bind.got is not None and bind.got.address[0] == "@"}) == 3


def test_where_duplicates_are_refused_a_bound_path_is_an_attempt(tmp_path: Path) -> None:
    with tracer(kernel=WITHOUT_DUPLICATES) as made:
        code = "s = unix(); s.bind('s'); unix().bind('t')"
        made.start(python(_PRELUDE + code), before=lambda: os.chdir(tmp_path))
        assert made.run() == [0]
    bind = min(only(made.events, Bind), key=lambda bind: bind.t_ns)
    assert (bind.got, bind.errno) == (bind.asked, ATTEMPTED)


def test_ended_sockets_are_released_although_no_one_asks_for_their_paths(tmp_path: Path) -> None:
    code = """
        for number in range(600):
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(str(number)); s.listen()
        """
    assert len(only(trace_in(tmp_path, code), Release)) >= 255


def test_the_kernels_table_tells_name_and_cookie_of_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    table = netlink.UnixTable()
    with socket.socket(socket.AF_UNIX) as sock:
        inode = os.fstat(sock.fileno()).st_ino
        unbound = table.row(inode)
        sock.bind(path)
        bound = table.row(inode)
    gone = table.row(inode)
    table.close()
    assert unbound is not None
    assert bound is not None
    assert (unbound.name, bound.name.rstrip(b"\0"), gone) == (b"", os.fsencode(path), None)
    assert unbound.cookie == bound.cookie
