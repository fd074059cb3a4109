"""Callers whose memory never arrives: a page that waits for a userfaultfd(2) keeps nobody waiting but its process."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
import textwrap

import pytest

if sys.platform != "linux":
    pytest.skip("userfaultfd is Linux only", allow_module_level=True)

from parasuite.model.events import Bind, ProcessSeen
from parasuite.sensors.seccomp import aside as aside_module

from runner.tests.tracing import python, tracer

_USERFAULTFD = {"x86_64": 323, "aarch64": 282}.get(platform.machine(), -1)


def _is_refused() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_USERFAULTFD, os.O_CLOEXEC)
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    os.close(descriptor)
    return ""


pytestmark = pytest.mark.skipif(bool(_is_refused()), reason=f"userfaultfd: {_is_refused()}")

# `register(start, length)`: whoever touches these pages waits until `fill(start, content)`.
USERFAULTFD = f"""
import ctypes, fcntl, mmap, os, socket, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
uffd = libc.syscall({_USERFAULTFD}, os.O_CLOEXEC)
fcntl.ioctl(uffd, 0xC018AA3F, struct.pack("=QQQ", 0xAA, 0, 0))

def register(start, length):
    fcntl.ioctl(uffd, 0xC020AA00, struct.pack("=QQQQ", start, length, 1, 0))

def fill(start, content):
    page = ctypes.create_string_buffer(content, mmap.PAGESIZE)
    fcntl.ioctl(uffd, 0xC028AA03, struct.pack("=QQQQQ", start, ctypes.addressof(page), mmap.PAGESIZE, 0, 0))

def wait_for_a_fault():
    assert len(os.read(uffd, 32)) == 32

area = mmap.mmap(-1, mmap.PAGESIZE * 16)
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
register(start, len(area))
ADDRESS = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 0) + bytes([127, 0, 0, 1]) + bytes(8)
"""


def program(code: str) -> list[str]:
    return python(USERFAULTFD + textwrap.dedent(code))


def test_an_address_in_a_page_that_is_missing_keeps_no_other_caller_waiting() -> None:
    code = """
        late = socket.socket()
        caller = threading.Thread(target=lambda: libc.bind(late.fileno(), ctypes.c_void_p(start), 16))
        caller.start()
        wait_for_a_fault()
        socket.socket().bind(("127.0.0.1", 0))  # Served while the page is still missing.
        fill(start, ADDRESS)
        caller.join()
        assert late.getsockname()[1]
        """
    with tracer() as made:
        made.start(program(code))
        assert made.run() == [0]
        assert made.watch.failure == ""
        assert made.watch.notes()[0].startswith("1 calls of processes that may not be looked at (")
        assert len([event for event in made.events if isinstance(event, Bind)]) == 1


def test_many_addresses_that_never_arrive_keep_no_other_caller_waiting() -> None:
    calls = aside_module._WAITING_MAX + 3
    code = f"""
        late = [socket.socket() for _ in range({calls})]
        for number, sock in enumerate(late):
            address = ctypes.c_void_p(start + number * mmap.PAGESIZE)
            threading.Thread(target=libc.bind, args=(sock.fileno(), address, 16), daemon=True).start()
            wait_for_a_fault()
        socket.socket().bind(("127.0.0.1", 0))
        os._exit(0)
        """
    with tracer() as made:
        made.start(program(code))
        assert made.run() == [0]
        assert len([event for event in made.events if isinstance(event, Bind)]) == 1


def test_a_call_is_reported_although_its_process_s_environment_never_arrives() -> None:
    code = """
        fields = open("/proc/self/stat").read().rpartition(")")[2].split()
        # Whole pages only: the stack itself ends in the first one.
        first, end = ((int(fields[n]) + mmap.PAGESIZE - 1) & -mmap.PAGESIZE for n in (45, 48))
        register(first, end - first)
        assert libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED) == 0
        sock = socket.socket()
        assert libc.bind(sock.fileno(), ADDRESS, 16) == 0
        os._exit(0)
        """
    env = {"LONG": "x" * 8 * mmap.PAGESIZE, "PYTEST_CURRENT_TEST": "a test (call)"}
    with tracer() as made:
        child = made.start(program(code), env=env)
        assert made.run() == [0]
        seen = [event.caller.process.pid for event in made.events if isinstance(event, ProcessSeen)]
        binds = [event.caller.test for event in made.events if isinstance(event, Bind)]
        assert (made.watch.failure, seen, binds) == ("", [child.pid], [""])


def test_an_address_in_a_page_that_has_not_been_touched_yet_is_read() -> None:
    # As the constant address of a C program: its page comes from the file when it is first read.
    code = """
        import tempfile
        with tempfile.TemporaryFile() as file:
            file.write(ADDRESS + bytes(mmap.PAGESIZE))
            file.flush()
            mapped = mmap.mmap(file.fileno(), mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
        there = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        sock = socket.socket()
        assert libc.bind(sock.fileno(), ctypes.c_void_p(there), 16) == 0
        """
    with tracer() as made:
        made.start(program(code))
        assert made.run() == [0]
        assert made.watch.notes() == []
        assert [event.errno for event in made.events if isinstance(event, Bind)] == [""]
