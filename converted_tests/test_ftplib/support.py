"""An FTP server that opens data connections too, and the two ways in which these tests meet a server.

dialogue(replies)      no thread: the server's half of the control connection is written already
visit(FileServer())    a real listener, and real data connections in either direction
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from converted_tests.peers import (
    TIMEOUT_S,
    Canned,
    Dialled,
    Peer,
    Reply,
    Say,
    StartTLS,
    StopTLS,
    canned,
    dialled,
    listening,
    open_listener,
)
from netsupport import HOSTv4

WELCOME = b"220 ready\r\n"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A client, connected to a server that has already sent everything."""

    ftp: ftplib.FTP
    dialled: list[Dialled]
    _wire: Canned

    def said(self) -> bytes:
        """Everything that the client wrote. Call it once, at the end; it closes the client."""
        self.ftp.close()
        return self._wire.sent()


@contextlib.contextmanager
def dialogue(replies: bytes = b"", ftp: ftplib.FTP | None = None, *, welcome: bytes = WELCOME) -> Iterator[Dialogue]:
    """*ftp*, connected to a server that has sent *welcome*, *replies* and an end of file."""
    client = ftplib.FTP() if ftp is None else ftp
    with canned(welcome + replies) as wire, dialled(wire.client) as calls, contextlib.closing(client):
        client.connect("ftp.example")
        yield Dialogue(client, calls, wire)


class Prepared(ftplib.FTP):
    """A client with a prepared data connection; `ntransfercmd` is the documented method to override for this."""

    def __init__(self, data: object, size: int | None = None, *, encoding: str = "utf-8") -> None:
        super().__init__(encoding=encoding)
        self._data = (cast(socket.socket, data), size)
        self.transfers: list[tuple[str, int | str | None]] = []

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        self.transfers.append((cmd, rest))
        return self._data


_ANSWERS = {
    b"USER": b"331 password, please\r\n",
    b"PASS": b"230 logged in\r\n",
    b"AUTH": b"234 go ahead\r\n",
    b"CCC": b"200 in the clear from here\r\n",
    b"REST": b"350 restarting there\r\n",
    b"QUIT": b"221 bye\r\n",
}
"""Anything else is answered with 200."""

_UPLOADS = (b"STOR",)
_DOWNLOADS = (b"RETR", b"LIST", b"NLST", b"MLSD")


@dataclass(slots=True)
class FileServer:
    """An FTP server. *contents*: what each transfer command (`b"RETR notes"`) gives; what is missing is 550.

    *replies* replace its own, by verb; a transfer takes place where the last reply line begins with 1.
    With *context* it speaks TLS: on the control connection after AUTH, on the data connections after PROT P.
    """

    contents: dict[bytes, bytes] = field(default_factory=dict)
    replies: Mapping[bytes, bytes] = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    heard: list[bytes] = field(default_factory=list)
    """The client's lines, in order."""
    stored: dict[bytes, bytes] = field(default_factory=dict)
    """What each `STOR` brought."""
    data_peers: list[tuple[str, int]] = field(default_factory=list)
    """Where the client's end of each data connection was."""
    protected: list[str | None] = field(default_factory=list)
    """The TLS version of each data connection, None in the clear."""
    tls_errors: list[ssl.SSLError] = field(default_factory=list)
    """Failures of handshakes that the client broke off, and of connections that it left without a command."""
    _listener: socket.socket | None = None
    _dial: tuple[str, int] | None = None
    _offset: int = 0
    _private: bool = False

    def peer(self) -> Peer:
        with contextlib.ExitStack() as listeners:
            line = yield WELCOME
            while True:
                self.heard.append(line)
                verb, _, argument = line.partition(b" ")
                if verb in (b"PASV", b"EPSV"):
                    self._listener = listeners.enter_context(
                        open_listener(socket.AF_INET if verb == b"PASV" else socket.AF_INET6)
                    )
                reply = self.replies.get(verb) or self._answer(verb, argument, line)
                if verb == b"QUIT":
                    yield Say(reply)
                    return
                if reply.splitlines()[-1].startswith(b"1"):
                    yield Say(reply)
                    try:
                        self._transfer(verb, line)
                    except ssl.SSLError as failure:
                        self.tls_errors.append(failure)
                    reply = self.replies.get(b"after " + verb, b"226 done\r\n")
                try:
                    line = yield self._reply(verb, reply)
                except ssl.SSLError as failure:
                    self.tls_errors.append(failure)
                    return

    def _answer(self, verb: bytes, argument: bytes, line: bytes) -> bytes:
        """The reply to *line*, and what the server has to remember of it."""
        match verb:
            case b"PASV":
                assert self._listener is not None
                numbers = HOSTv4.split(".") + [str(part) for part in divmod(self._listener.getsockname()[1], 256)]
                return f"227 entering passive mode ({','.join(numbers)})\r\n".encode()
            case b"EPSV":
                assert self._listener is not None
                return f"229 entering extended passive mode (|||{self._listener.getsockname()[1]}|)\r\n".encode()
            case b"PORT":
                *host, high, low = argument.decode().split(",")
                self._listener, self._dial = None, (".".join(host), int(high) * 256 + int(low))
            case b"EPRT":
                _, _, host6, port, _ = argument.decode().split("|")
                self._listener, self._dial = None, (host6, int(port))
            case b"REST":
                self._offset = int(argument)
            case b"PROT":
                self._private = argument == b"P"
        if verb in _UPLOADS:
            return b"150 opening the data connection\r\n"
        if verb in _DOWNLOADS:
            if line not in self.contents:
                return b"550 no such file\r\n"
            return b"150 opening the data connection (%d bytes)\r\n" % len(self.contents[line])
        return _ANSWERS.get(verb, b"200 done\r\n")

    def _reply(self, verb: bytes, reply: bytes) -> Reply:
        if not reply.startswith(b"2"):
            return reply
        match verb:
            case b"AUTH":
                return StartTLS(reply, self.context)
            case b"CCC":
                return StopTLS(reply)
        return reply

    def _data_connection(self) -> socket.socket:
        if self._listener is not None:
            connection, address = self._listener.accept()
        else:
            assert self._dial is not None, "a transfer before PASV, EPSV, PORT or EPRT"
            connection, address = socket.create_connection(self._dial, TIMEOUT_S), self._dial
        connection.settimeout(TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data_peers.append(address[:2])
        return connection

    def _transfer(self, verb: bytes, line: bytes) -> None:
        with contextlib.ExitStack() as cleanup:
            connection = cleanup.enter_context(self._data_connection())
            if self._private:
                assert self.context is not None
                connection = cleanup.enter_context(self.context.wrap_socket(connection, server_side=True))
            self.protected.append(connection.version() if isinstance(connection, ssl.SSLSocket) else None)
            if verb in _UPLOADS:
                self.stored[line] = b"".join(iter(lambda: connection.recv(65536), b""))
            else:
                connection.sendall(self.contents[line][self._offset :])
            self._offset = 0
            if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()


@contextlib.contextmanager
def visit(server: FileServer, ftp: ftplib.FTP | None = None, family: int = socket.AF_INET) -> Iterator[ftplib.FTP]:
    """*ftp*, connected to *server* over a real listener; it quits at the end."""
    client = ftplib.FTP() if ftp is None else ftp
    with listening(server.peer(), family=family) as (host, port), client:
        client.connect(str(host), int(port))
        yield client
