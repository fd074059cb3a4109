"""The commands of FTP that need no data connection, and the end of a session.

RFC 959 section 4.1 gives the commands and appendix II the form of 257; RFC 3659 section 4 gives SIZE.
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
from collections.abc import Callable, Iterator

import pytest

from converted_tests.peers import (
    SHORT_S,
    TIMEOUT_S,
    Peer,
    Reset,
    Silence,
    dialled,
    listening,
    open_listener,
    transcript,
)
from converted_tests.test_ftplib.support import WELCOME, dialogue

Call = Callable[[ftplib.FTP], object]


# --- one command, one reply ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said", "reply", "expected"),
    [
        pytest.param(lambda ftp: ftp.delete("a b"), "DELE a b", "250 gone", "250 gone", id="delete, 250"),
        pytest.param(lambda ftp: ftp.delete("a"), "DELE a", "200 gone", "200 gone", id="delete, 200"),
        pytest.param(lambda ftp: ftp.size("a"), "SIZE a", "213 1234", 1234, id="size"),
        pytest.param(lambda ftp: ftp.size("a"), "SIZE a", "213   0 ", 0, id="size with blanks around"),
        pytest.param(lambda ftp: ftp.size("a"), "SIZE a", "250 1234", None, id="size without a size"),
        pytest.param(lambda ftp: ftp.mkd("x"), "MKD x", '257 "/pub/x" created', "/pub/x", id="mkd"),
        pytest.param(lambda ftp: ftp.mkd("x"), "MKD x", "250 created", "", id="mkd without a name"),
        pytest.param(lambda ftp: ftp.rmd("x"), "RMD x", "250 gone", "250 gone", id="rmd"),
        pytest.param(lambda ftp: ftp.pwd(), "PWD", '257 "/pub" it is', "/pub", id="pwd"),
        pytest.param(lambda ftp: ftp.pwd(), "PWD", "250 somewhere", "", id="pwd without a name"),
        pytest.param(lambda ftp: ftp.cwd("x y"), "CWD x y", "250 there", "250 there", id="cwd"),
        pytest.param(lambda ftp: ftp.cwd(""), "CWD .", "250 there", "250 there", id="cwd to nowhere"),
        pytest.param(lambda ftp: ftp.cwd(".."), "CDUP", "200 up", "200 up", id="cwd to the parent"),
        pytest.param(lambda ftp: ftp.quit(), "QUIT", "221 bye", "221 bye", id="quit"),
    ],
)
def test_a_command_sends_one_line_and_gives_what_the_reply_says(
    call: Call, said: str, reply: str, expected: object
) -> None:
    with dialogue(reply.encode() + b"\r\n") as talk:
        assert call(talk.ftp) == expected
        assert talk.said() == said.encode() + b"\r\n"


@pytest.mark.parametrize(
    ("call", "reply"),
    [
        pytest.param(lambda ftp: ftp.delete("a"), "257 gone", id="delete, another 2xx"),
        pytest.param(lambda ftp: ftp.delete("a"), "150 soon", id="delete, 1xx"),
        pytest.param(lambda ftp: ftp.mkd("a"), "350 more", id="mkd"),
        pytest.param(lambda ftp: ftp.rmd("a"), "150 soon", id="rmd"),
        pytest.param(lambda ftp: ftp.pwd(), "350 more", id="pwd"),
        pytest.param(lambda ftp: ftp.cwd("a"), "350 more", id="cwd"),
        pytest.param(lambda ftp: ftp.cwd(".."), "350 more", id="cwd to the parent"),
        pytest.param(lambda ftp: ftp.quit(), "150 soon", id="quit"),
        pytest.param(lambda ftp: ftp.rename("a", "b"), "250 done already", id="rename, first reply"),
    ],
)
def test_an_unexpected_reply_of_1_2_or_3_is_error_reply(call: Call, reply: str) -> None:
    with dialogue(reply.encode() + b"\r\n") as talk, pytest.raises(ftplib.error_reply) as caught:
        call(talk.ftp)
    assert caught.value.args == (reply,)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda ftp: ftp.delete("a"), id="delete"),
        pytest.param(lambda ftp: ftp.size("a"), id="size"),
        pytest.param(lambda ftp: ftp.mkd("a"), id="mkd"),
        pytest.param(lambda ftp: ftp.rename("a", "b"), id="rename"),
    ],
)
def test_a_refused_command_is_error_perm(call: Call) -> None:
    with dialogue(b"550 not yours\r\n") as talk, pytest.raises(ftplib.error_perm, match=r"^550 not yours$"):
        call(talk.ftp)


def test_rename_names_the_old_file_then_the_new_one() -> None:
    with dialogue(b"350 to what?\r\n250 renamed\r\n") as talk:
        assert talk.ftp.rename("old", "new") == "250 renamed"
        assert talk.said() == b"RNFR old\r\nRNTO new\r\n"


def test_rename_refuses_a_second_reply_that_is_not_2() -> None:
    with dialogue(b"350 to what?\r\n350 and then?\r\n") as talk, pytest.raises(ftplib.error_reply) as caught:
        talk.ftp.rename("old", "new")
    assert caught.value.args == ("350 and then?",)


def test_a_server_that_does_not_know_CDUP_is_asked_by_CWD() -> None:
    with dialogue(b"500 what?\r\n250 up\r\n") as talk:
        assert talk.ftp.cwd("..") == "250 up"
        assert talk.said() == b"CDUP\r\nCWD ..\r\n"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param("550 no parent", ftplib.error_perm, id="550"),
        pytest.param("502 not implemented", ftplib.error_perm, id="502"),
        pytest.param("450 busy", ftplib.error_temp, id="450"),
    ],
)
def test_another_refusal_of_CDUP_is_final(reply: str, expected: type[Exception]) -> None:
    with dialogue(reply.encode() + b"\r\n250 up\r\n") as talk:
        with pytest.raises(ftplib.Error) as caught:
            talk.ftp.cwd("..")
        assert (caught.type, caught.value.args) == (expected, (reply,))
        assert talk.said() == b"CDUP\r\n"


def test_a_session_of_simple_commands_over_a_real_listener() -> None:
    script = """
        S: 220 ready
        C: MKD new
        S: 257 "/new" made
        C: CWD new
        S: 250 there
        C: PWD
        S: 257 "/new"
        C: RNFR a
        S: 350 to?
        C: RNTO b
        S: 250 renamed
        C: SIZE b
        S: 213 7
        C: DELE b
        S: 250 gone
        C: RMD /new
        S: 250 gone
        C: QUIT
        S: 221 bye
    """
    with listening(transcript(script)) as (host, port), ftplib.FTP() as ftp:
        ftp.connect(str(host), int(port))
        results = [ftp.mkd("new"), ftp.cwd("new"), ftp.pwd(), ftp.rename("a", "b"), ftp.size("b"), ftp.delete("b")]
        assert results == ["/new", "250 there", "/new", "250 renamed", 7, "250 gone"]
        assert ftp.rmd("/new") == "250 gone"


# --- abort --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def urgent(replies: bytes) -> Iterator[tuple[ftplib.FTP, socket.socket]]:
    """A client and the server's end of its TCP connection: a socket pair has no urgent data."""
    with open_listener() as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server, contextlib.closing(ftplib.FTP()) as ftp:
            server.settimeout(TIMEOUT_S)
            server.sendall(WELCOME + replies)
            with dialled(client):
                ftp.connect("ftp.example", timeout=TIMEOUT_S)
            yield ftp, server


@pytest.mark.parametrize("reply", ["225 nothing to abort", "226 aborted", "426 cut"], ids=lambda reply: reply[:3])
def test_abort_sends_ABOR_as_urgent_data_and_returns_the_reply(reply: str) -> None:
    with urgent(reply.encode() + b"\r\n") as (ftp, server):
        assert ftp.abort() == reply
        assert server.recv(1, socket.MSG_OOB) == b"\n"
        assert server.recv(100) == b"ABOR\r"


@pytest.mark.parametrize("reply", ["200 what?", "500 what?", "350 more"], ids=lambda reply: reply[:3])
def test_abort_answered_by_another_code_is_error_proto(reply: str) -> None:
    with urgent(reply.encode() + b"\r\n") as (ftp, _), pytest.raises(ftplib.error_proto) as caught:
        ftp.abort()
    assert caught.value.args == (reply,)


@pytest.mark.parametrize(
    ("level", "printed"),
    [
        pytest.param(1, "", id="1"),
        pytest.param(2, r"*put urgent* b'ABOR\r\n'" + "\n" + r"*get* '226 ok\n'" + "\n", id="2"),
    ],
)
def test_abort_is_printed_from_debug_level_2(level: int, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with urgent(b"226 ok\r\n") as (ftp, _):
        ftp.set_debuglevel(level)
        ftp.abort()
    assert capsys.readouterr().out == printed


def test_urgent_data_has_the_number_of_the_socket_library() -> None:
    assert int(socket.MSG_OOB) == ftplib.MSG_OOB


# --- the end of a session -----------------------------------------------------------------------------


def is_closed(ftp: ftplib.FTP) -> bool:
    return (ftp.sock, ftp.file) == (None, None)


def test_quit_closes_the_connection() -> None:
    with listening(transcript("S: 220 ready\nC: QUIT\nS: 221 bye")) as (host, port):
        ftp = ftplib.FTP()
        ftp.connect(str(host), int(port))
        sock, file = ftp.sock, ftp.file
        assert sock is not None
        assert file is not None
        assert ftp.quit() == "221 bye"
        assert (is_closed(ftp), sock.fileno(), file.closed) == (True, -1, True)


def test_close_says_nothing_and_may_be_repeated() -> None:
    with dialogue() as talk:
        talk.ftp.close()
        assert is_closed(talk.ftp)
        talk.ftp.close()
        assert is_closed(talk.ftp)
        assert talk.said() == b""


def test_a_file_that_fails_to_close_keeps_no_socket_open() -> None:
    class Stubborn:
        def close(self) -> None:
            raise OSError("no")

    ftp = ftplib.FTP()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ftp.sock, ftp.file = ours, Stubborn()  # type: ignore[assignment]
        with pytest.raises(OSError, match=r"^no$"):
            ftp.close()
        assert (is_closed(ftp), ours.fileno()) == (True, -1)


def test_leaving_the_with_block_quits() -> None:
    with dialogue(b"221 bye\r\n") as talk:
        with talk.ftp as entered:
            assert entered is talk.ftp
            assert not is_closed(talk.ftp)
        assert is_closed(talk.ftp)
        assert talk.said() == b"QUIT\r\n"


def test_a_session_that_quit_inside_the_with_block_does_not_quit_twice() -> None:
    with dialogue(b"221 bye\r\n500 again?\r\n") as talk:
        with talk.ftp:
            talk.ftp.quit()
        assert talk.said() == b"QUIT\r\n"


@pytest.mark.parametrize("reply", [b"", b"221 cut"], ids=["end of input", "end of input inside the reply"])
def test_a_server_that_has_gone_does_not_disturb_the_end_of_the_with_block(reply: bytes) -> None:
    with dialogue(reply) as talk:
        with talk.ftp:
            pass
        assert is_closed(talk.ftp)


def resetting() -> Peer:
    yield WELCOME
    yield Reset()


def silent() -> Peer:
    yield Silence(WELCOME)


def test_a_reset_does_not_spoil_the_end_of_the_with_block() -> None:
    with listening(resetting()) as (host, port), ftplib.FTP() as ftp:
        ftp.connect(str(host), int(port))
    assert is_closed(ftp)


def test_a_server_that_never_says_bye_does_not_spoil_the_end_of_the_with_block() -> None:
    with listening(silent()) as (host, port), ftplib.FTP() as ftp:
        ftp.connect(str(host), int(port))
        assert ftp.sock is not None
        ftp.sock.settimeout(SHORT_S)
    assert is_closed(ftp)


def test_a_refused_quit_is_an_error_and_the_connection_is_closed_all_the_same() -> None:
    with dialogue(b"550 stay\r\n") as talk:
        with pytest.raises(ftplib.error_perm, match=r"^550 stay$"), talk.ftp:
            pass
        assert is_closed(talk.ftp)
        assert talk.said() == b"QUIT\r\n"


def test_an_error_inside_the_with_block_passes_through_after_quitting() -> None:
    with dialogue(b"221 bye\r\n") as talk:
        with pytest.raises(LookupError, match=r"^mine$"), talk.ftp:
            raise LookupError("mine")
        assert talk.said() == b"QUIT\r\n"


def test_a_with_block_around_a_client_that_never_connected_does_nothing() -> None:
    with ftplib.FTP() as ftp:
        pass
    assert is_closed(ftp)
