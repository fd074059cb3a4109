"""What every test of the corpus gets: certificates, a law about leftovers, Hypothesis off the clock."""

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

# The fixtures of single modules. Plug-ins, not a conftest.py in each folder: with those, pytest works out again at
# every hook of every test whose hooks apply, a twelfth of the corpus's processor time.
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
    """Let threads take turns every 0.1 ms: at 5 ms a dialogue between two of them takes ten times as long.

    What was collected is put out of the garbage collector's sight: walking thousands of test items again and again
    is a tenth of the corpus's processor time.
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
            # The descriptor of the listing itself is gone by now.
            continue
        if target.startswith("socket:"):
            found.add(f"{descriptor} -> {target}")
    return frozenset(found)


@dataclass
class _Leftovers:
    """The sockets that were open at the last look."""

    descriptors: frozenset[str] = frozenset()
    sockets: frozenset[str] = frozenset()

    def look(self) -> frozenset[str]:
        """The sockets that are open now and were not at the last look; what is open now is remembered.

        Descriptors with the same numbers as before are taken to be the same: a test that closes a socket which it
        did not open and opens another in its place goes unnoticed, and each test costs one listdir.
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

    CPython leaves OpenSSL's own error behind some of the exceptions that it raises, where the thread's next
    load_verify_locations(cadata=...) finds it and raises it. A call that fails by itself empties the queue.
    """
    with contextlib.suppress(ssl.SSLError):
        _CONTEXT.set_ciphers("no such cipher")


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread running or a socket open; and begin with an empty queue of OpenSSL's errors.

    Without /proc (macOS, Windows) sockets are told by their ResourceWarning alone, an error here.
    """
    _empty_error_queue()
    threads_before = set(threading.enumerate())
    _LEFTOVERS.look()  # A module's own server, opened just now, is not this test's.
    yield
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(TIMEOUT_S)
    threads_left = [thread.name for thread in set(threading.enumerate()) - threads_before if thread.is_alive()]
    assert not threads_left, f"threads left running: {threads_left}"
    if suspects := _LEFTOVERS.look():
        # A socket inside a reference cycle is not left behind; it is only not collected yet.
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
    """What a TLS server presents: `server_identity`. Shared by all tests: change a copy, not this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_identity.configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A client that verifies names and trusts `authority` alone. Shared by all tests: change a copy, not this."""
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
