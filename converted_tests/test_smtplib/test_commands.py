"""smtplib promises one method for each command of SMTP, which returns the server's code and text.

The commands are RFC 5321 section 4.1.1, EXPN and VRFY section 3.5.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable

import pytest

from .support import ME, folded, offline, served

Command = Callable[[smtplib.SMTP], object]


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        pytest.param(lambda smtp: smtp.noop(), b"noop\r\n", id="noop"),
        pytest.param(lambda smtp: smtp.rset(), b"rset\r\n", id="rset"),
        pytest.param(lambda smtp: smtp.docmd("XYZ"), b"XYZ\r\n", id="docmd"),
        pytest.param(lambda smtp: smtp.docmd("XYZ", "1 2"), b"XYZ 1 2\r\n", id="docmd with arguments"),
        pytest.param(lambda smtp: smtp.helo(), b"helo me.test\r\n", id="helo"),
        pytest.param(lambda smtp: smtp.helo("you.test"), b"helo you.test\r\n", id="helo by another name"),
        pytest.param(lambda smtp: smtp.ehlo(), b"ehlo me.test\r\n", id="ehlo"),
        pytest.param(lambda smtp: smtp.ehlo("you.test"), b"ehlo you.test\r\n", id="ehlo by another name"),
        pytest.param(lambda smtp: smtp.mail("a@b.test"), b"mail FROM:<a@b.test>\r\n", id="mail"),
        pytest.param(lambda smtp: smtp.rcpt("A <a@b.test>"), b"rcpt TO:<a@b.test>\r\n", id="rcpt"),
        pytest.param(lambda smtp: smtp.vrfy("Joe <joe@b.test>"), b"vrfy joe@b.test\r\n", id="vrfy"),
        pytest.param(lambda smtp: smtp.verify("joe"), b"vrfy joe\r\n", id="verify"),
        pytest.param(lambda smtp: smtp.verify("@"), b"vrfy @\r\n", id="verify what is no address"),
        pytest.param(lambda smtp: smtp.verify("Joe <"), b"vrfy\r\n", id="verify a name without an address"),
        pytest.param(lambda smtp: smtp.expn("List <list@b.test>"), b"expn list@b.test\r\n", id="expn"),
        pytest.param(lambda smtp: smtp.quit(), b"quit\r\n", id="quit"),
    ],
)
def test_a_command_sends_its_line_and_returns_code_and_text(command: Command, sent: bytes) -> None:
    client, wire = offline(b"250-one\r\n250 two\r\n")
    assert command(client) == (250, b"one\ntwo")
    assert folded(wire.sent) == sent


def test_help_returns_the_text_alone() -> None:
    with served("S: 220 ready\nC: help\nS: 214-use\nS: 214 a book\nC: help mail\nS: 214 mail FROM:") as client:
        assert client.help() == b"use\na book"
        assert client.help("mail") == b"mail FROM:"


def test_connect_and_quit() -> None:
    with served("S: 220 ready\nC: quit\nS: 221 bye") as client:
        assert client.quit() == (221, b"bye")
        assert (client.sock, client.file) == (None, None)


def test_noop_and_rset_over_a_connection() -> None:
    with served("S: 220 ready\nC: noop\nS: 250 OK\nC: rset\nS: 250 OK\nC: quit\nS: 221 bye") as client:
        assert [client.noop(), client.rset(), client.quit()] == [(250, b"OK"), (250, b"OK"), (221, b"bye")]


def test_a_command_that_the_server_does_not_know_gives_its_502() -> None:
    with served("S: 220 ready\nC: EXPN list\nS: 502 not implemented") as client:
        client.putcmd("EXPN", "list")
        assert client.getreply() == (502, b"not implemented")


def test_a_command_without_arguments_ends_without_a_blank() -> None:
    client, wire = offline()
    client.putcmd("EXPN")
    assert wire.sent == b"EXPN\r\n"


def test_a_second_HELO_is_answered_by_the_server() -> None:
    with served(f"S: 220 ready\nC: helo {ME}\nS: 250 hi\nC: helo {ME}\nS: 503 duplicate") as client:
        assert client.helo() == (250, b"hi")
        assert client.helo_resp == b"hi"
        assert client.helo() == (503, b"duplicate")
        assert client.helo_resp == b"duplicate"


def test_vrfy_and_its_alias_give_the_servers_text() -> None:
    script = """
        S: 220 ready
        C: vrfy joe@mail.test
        S: 252 try and see
        C: vrfy joe@mail.test
        S: 252 try and see
    """
    with served(script) as client:
        assert [client.vrfy("joe@mail.test"), client.verify("joe@mail.test")] == [(252, b"try and see")] * 2


def test_vrfy_distinguishes_known_and_unknown_addresses() -> None:
    script = """
        S: 220 ready
        C: vrfy joe@mail.test
        S: 250 Joe <joe@mail.test>
        C: vrfy ann@mail.test
        S: 550 no such user
    """
    with served(script) as client:
        assert client.vrfy("Joe <joe@mail.test>") == (250, b"Joe <joe@mail.test>")
        assert client.vrfy("ann@mail.test") == (550, b"no such user")


def test_expn_gives_the_members_of_a_list_one_a_line() -> None:
    script = """
        S: 220 ready
        C: expn staff
        S: 250-Joe <joe@mail.test>
        S: 250 Ann <ann@mail.test>
        C: expn nobody
        S: 550 no such list
    """
    with served(script) as client:
        assert client.expn("staff") == (250, b"Joe <joe@mail.test>\nAnn <ann@mail.test>")
        assert client.expn("nobody") == (550, b"no such list")


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        pytest.param("a\rb", r"XYZ a\rb", id="CR"),
        pytest.param("a\nb", r"XYZ a\nb", id="LF"),
        pytest.param("a\r\nQUIT\r\n", r"XYZ a\r\nQUIT\r\n", id="a whole command"),
    ],
)
def test_a_line_ending_inside_a_command_is_refused_and_nothing_is_sent(argument: str, shown: str) -> None:
    client, wire = offline()
    with pytest.raises(ValueError) as refused:
        client.putcmd("XYZ", argument)
    assert str(refused.value) == f"command and arguments contain prohibited newline characters: {shown}"
    assert wire.sent == b""


def test_a_line_ending_in_the_local_hostname_never_reaches_the_server() -> None:
    with served("S: 220 ready\nC: noop\nS: 250 OK") as client:
        client.local_hostname = "me.test\r\nRCPT TO:<a@b.test>"
        with pytest.raises(ValueError, match="prohibited newline characters"):
            client.ehlo()
        assert client.noop() == (250, b"OK")


def test_a_line_ending_in_a_mail_option_keeps_all_options_from_the_server() -> None:
    client, wire = offline(b"250 OK\r\n", {"8bitmime": ""})
    with pytest.raises(ValueError, match="prohibited newline characters"):
        client.sendmail("a@b.test", "c@d.test", "", ["BODY=8BITMIME", "X=1\r\nDATA"])
    assert wire.sent == b""


def test_options_go_behind_the_address_when_the_server_speaks_ESMTP() -> None:
    client, wire = offline(b"250 a\r\n250 b\r\n", {})
    assert client.mail("a@b.test", ["X=1", "Y"]) == (250, b"a")
    assert client.rcpt("c@d.test", ("NOTIFY=NEVER", "Z")) == (250, b"b")
    assert folded(wire.sent) == b"mail FROM:<a@b.test> X=1 Y\r\nrcpt TO:<c@d.test> NOTIFY=NEVER Z\r\n"


def test_options_are_left_out_when_the_server_speaks_plain_SMTP() -> None:
    client, wire = offline(b"250 a\r\n250 b\r\n")
    client.mail("a@b.test", ["X=1", "smtputf8"])
    client.rcpt("c@d.test", ["NOTIFY=NEVER"])
    assert folded(wire.sent) == b"mail FROM:<a@b.test>\r\nrcpt TO:<c@d.test>\r\n"


# --- the end of a session -----------------------------------------------------------------------------


def test_a_with_block_says_QUIT_at_its_end_and_later_commands_are_refused() -> None:
    with served("S: 220 ready\nC: noop\nS: 250 OK\nC: QUIT\nS: 221 bye") as client:
        with client as entered:
            assert entered is client
            assert client.noop() == (250, b"OK")
        assert client.sock is None
        with pytest.raises(smtplib.SMTPServerDisconnected, match="please run connect"):
            client.send(b"noop\r\n")


def test_a_with_block_may_close_or_quit_by_itself() -> None:
    with served("S: 220 ready") as client, client:
        client.close()
        client.close()
    with served("S: 220 ready\nC: quit\nS: 221 bye") as client, client:
        client.quit()


@pytest.mark.parametrize("code", [220, 222, 421, 500])
def test_a_with_block_whose_QUIT_is_refused_raises_what_the_server_said_and_closes(code: int) -> None:
    client, wire = offline(b"%d no way\r\n" % code)
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        client.__exit__(None, None, None)
    assert (type(refused.value), refused.value.args) == (smtplib.SMTPResponseException, (code, b"no way"))
    assert (wire.sent, wire.closed, client.sock) == (b"QUIT\r\n", True, None)


def test_a_with_block_forgives_a_server_that_hung_up() -> None:
    with served("S: 220 ready\nC: QUIT") as client, client:
        pass
    assert client.sock is None


def test_an_error_inside_a_with_block_comes_out_after_QUIT() -> None:
    with served("S: 220 ready\nC: QUIT\nS: 221 bye") as client:
        with pytest.raises(ZeroDivisionError), client:
            raise ZeroDivisionError


def test_quit_forgets_what_the_server_said_in_EHLO_and_HELO() -> None:
    client, _ = offline(b"250 hi\r\n221 bye\r\n", {"size": "1"})
    client.helo()
    assert client.quit() == (221, b"bye")
    assert (client.ehlo_resp, client.helo_resp, client.esmtp_features, client.does_esmtp) == (None, None, {}, False)


def test_close_gives_up_file_and_socket_even_if_the_file_fails_to_close() -> None:
    class Stubborn:
        def close(self) -> None:
            raise OSError("no")

    client, wire = offline()
    client.file = Stubborn()
    with pytest.raises(OSError, match=r"^no$"):
        client.close()
    assert (vars(client)["file"], client.sock, wire.closed) == (None, None, True)


def test_close_closes_the_file_that_replies_are_read_from() -> None:
    client, wire = offline(b"250 OK\r\n")
    client.noop()
    replies = client.file
    assert replies is not None
    client.close()
    assert (replies.closed, wire.closed, client.file, client.sock) == (True, True, None, None)
