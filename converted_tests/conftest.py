"""Fixtures for every test of the corpus: certificates, a check for leaks, Hypothesis without deadlines."""

from __future__ import annotations

import contextlib
import gc
import os
import ssl
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from converted_tests.peers import TIMEOUT_S
from netsupport import HOSTv4, HOSTv6

if TYPE_CHECKING:
    import trustme

# The fixtures of single folders are plug-ins, not a conftest.py in each folder. With those, pytest works out for
# every hook of every test which conftest applies; that takes a twelfth of the corpus's CPU time.
pytest_plugins = [
    f"converted_tests.{folder}.fixtures"
    for folder in ("test_asyncore", "test_ftplib", "test_socket", "test_socket_ssl", "test_socketserver", "test_ssl")
]

# Hypothesis' own settings for CI: derandomised, no database, no deadline. Copies must not share a
# database, and a deadline of 200 ms would measure the load of the machine.
settings.register_profile(
    "corpus",
    settings.get_profile("ci"),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=15,
)
settings.load_profile("corpus")


@pytest.fixture(scope="session", autouse=True)
def _fast_threads_and_gc() -> Iterator[None]:
    """Switch threads every 0.1 ms; at the default of 5 ms a dialogue between two threads takes ten times as long.

    Also hide the collected test items from the garbage collector: traversing thousands of them again and again
    takes a tenth of the corpus's CPU time.
    """
    gc.collect()
    gc.freeze()
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before_s)


def _open_descriptors() -> frozenset[str]:
    """The numbers of this process's open descriptors, as text; empty where there is no /proc."""
    try:
        return frozenset(os.listdir("/proc/self/fd"))
    except OSError:
        return frozenset()


def _sockets_among(descriptors: Iterable[str]) -> frozenset[str]:
    """Those that are sockets, as `descriptor -> socket:[inode]`."""
    found = set()
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            # This was the descriptor of the listing itself, which is closed by now.
            continue
        if target.startswith("socket:"):
            found.add(f"{descriptor} -> {target}")
    return frozenset(found)


@dataclass
class _Leftovers:
    """The descriptors and sockets that were open at the last call of `look`."""

    descriptors: frozenset[str] = frozenset()
    sockets: frozenset[str] = frozenset()

    def look(self) -> frozenset[str]:
        """The sockets that were opened since the last call.

        A descriptor with the same number as before is taken to be the same one. So a test that closes a socket which
        it did not open, and opens another in its place, goes unnoticed; in return each test costs one listdir.
        """
        descriptors = _open_descriptors()
        if descriptors == self.descriptors:
            return frozenset()
        sockets = _sockets_among(descriptors)
        new = sockets - self.sockets
        self.descriptors, self.sockets = descriptors, sockets
        return new


_LEFTOVERS = _Leftovers()
_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _empty_error_queue() -> None:
    """Take what earlier tests left in OpenSSL's queue of errors.

    After some exceptions CPython leaves OpenSSL's error in the thread's queue, and the next
    load_verify_locations(cadata=...) finds and raises it. A call that fails empties the queue.
    """
    with contextlib.suppress(ssl.SSLError):
        _CONTEXT.set_ciphers("no such cipher")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread running or a socket open; start each with an empty queue of OpenSSL errors.

    Without /proc (macOS, Windows) an open socket is only noticed by its ResourceWarning, which is an error here.
    """
    _empty_error_queue()
    threads_before = set(threading.enumerate())
    _LEFTOVERS.look()  # A server that a module's fixture has just opened does not belong to this test.
    yield
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(TIMEOUT_S)
    threads_left = [thread.name for thread in set(threading.enumerate()) - threads_before if thread.is_alive()]
    assert not threads_left, f"threads left running: {threads_left}"
    if suspects := _LEFTOVERS.look():
        # A socket in a reference cycle has not been leaked; it has only not been collected yet.
        gc.collect()
        sockets_left = suspects & _sockets_among(_open_descriptors())
        assert not sockets_left, f"sockets left open: {sorted(sockets_left)}"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of this run alone."""
    import trustme

    return trustme.CA()


@pytest.fixture(scope="session")
def server_identity(authority: trustme.CA) -> trustme.LeafCert:
    """A certificate for localhost, 127.0.0.1 and ::1."""
    return authority.issue_cert("localhost", HOSTv4, HOSTv6)


@pytest.fixture(scope="session")
def server_context(server_identity: trustme.LeafCert) -> ssl.SSLContext:
    """A TLS server's context, which presents `server_identity`. All tests share it: change a copy, not this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_identity.configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context, which verifies names and trusts only `authority`. All tests share it: change a copy."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="session")
def certificate_files(
    authority: trustme.CA, server_identity: trustme.LeafCert, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Path]:
    """Paths of PEM files: the authority's certificate, the server's chain, the server's key."""
    folder = tmp_path_factory.mktemp("certificates")
    paths = (folder / "authority.pem", folder / "chain.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(str(paths[0]))
    paths[1].write_bytes(b"".join(blob.bytes() for blob in server_identity.cert_chain_pems))
    server_identity.private_key_pem.write_to_path(str(paths[2]))
    return paths


@pytest.fixture
def process_timeout_s() -> Iterator[float]:
    """A process-wide default timeout of new sockets, for this test alone; its value in seconds."""
    import socket

    before = socket.getdefaulttimeout()
    value_s = 4.5 * TIMEOUT_S
    socket.setdefaulttimeout(value_s)
    yield value_s
    socket.setdefaulttimeout(before)


def _ipv6_works() -> bool:
    import socket

    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((HOSTv6, 0))
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def ipv6() -> None:
    """Skip the test, with the reason, where ::1 cannot be bound."""
    if not _ipv6_works():
        pytest.skip("IPv6 is off here: ::1 cannot be bound")


@pytest.fixture(params=["ipv4", "ipv6"])
def ip_family(request: pytest.FixtureRequest) -> int:
    """Each address family of TCP in turn; the second is skipped where `ipv6` is."""
    import socket

    if request.param == "ipv4":
        return socket.AF_INET
    request.getfixturevalue("ipv6")
    return socket.AF_INET6
