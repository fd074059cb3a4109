"""The four replies whose text ftplib reads: 150 (a size), 227 and 229 (an address), 257 (a name).

RFC 959 section 4.1.2 and appendix II, and RFC 2428 section 3, give their form; anything else is an ftplib error.
"""

from __future__ import annotations

import ftplib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converted_tests.strategies import line_text
from netsupport import HOSTv6

PEER = (HOSTv6, 21, 0, 0)


# --- 150: the size of the transfer ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "size"),
    [
        pytest.param("150 opening BINARY mode data connection for a (1234 bytes)", 1234, id="a size"),
        pytest.param("150 opening (0 bytes)", 0, id="nothing to come"),
        pytest.param("150 opening (7 BYTES)", 7, id="in capitals"),
        pytest.param("150 for a(1) (2 bytes).", 2, id="text behind"),
        pytest.param("150 opening", None, id="no size"),
        pytest.param("150 opening (many bytes)", None, id="no number"),
        pytest.param("150 opening (1 byte)", None, id="one byte"),
        pytest.param("150 (5 bytes)", None, id="no word before it"),
        pytest.param("150 opening (٣ bytes)", None, id="digits of another script"),
    ],
)
def test_a_150_reply_gives_the_size_if_it_contains_one(reply: str, size: int | None) -> None:
    assert ftplib.parse150(reply) == size


# --- 227: address and port in six numbers -------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "address"),
    [
        pytest.param("227 entering passive mode (192,0,2,7,19,137)", ("192.0.2.7", 5001), id="the form of RFC 959"),
        pytest.param("227 entering passive mode 192,0,2,7,0,21", ("192.0.2.7", 21), id="no brackets"),
        pytest.param("227 = 192,0,2,7,1,0 (really)", ("192.0.2.7", 256), id="text behind"),
        pytest.param("227 (9,9) (192,0,2,7,255,255)", ("192.0.2.7", 65535), id="too few numbers before"),
    ],
)
def test_a_227_reply_gives_an_address(reply: str, address: tuple[str, int]) -> None:
    assert ftplib.parse227(reply) == address


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param("227 entering passive mode", id="no numbers"),
        pytest.param("227 (192,0,2,7,19)", id="five numbers"),
        pytest.param("227 (192, 0, 2, 7, 19, 137)", id="blanks"),
        pytest.param("227 (192,0,2,7,19,٣)", id="digits of another script"),
    ],
)
def test_a_227_reply_without_six_numbers_is_error_proto(reply: str) -> None:
    with pytest.raises(ftplib.error_proto) as caught:
        ftplib.parse227(reply)
    assert caught.value.args == (reply,)


BYTE = st.integers(0, 255)


@given(st.tuples(BYTE, BYTE, BYTE, BYTE), st.integers(0, 65535))
def test_any_address_comes_back_from_a_227_reply(host: tuple[int, ...], port: int) -> None:
    numbers = [*map(str, host), *map(str, divmod(port, 256))]
    assert ftplib.parse227(f"227 passive ({','.join(numbers)})") == (".".join(map(str, host)), port)


# --- 229: a port, at the address of the control connection ---------------------------------------------


@pytest.mark.parametrize(
    ("reply", "port"),
    [
        pytest.param("229 extended passive mode (|||6446|)", 6446, id="the form of RFC 2428"),
        pytest.param("229 (!!!21!)", 21, id="another delimiter"),
        pytest.param("229 (|||6446|) (no more)", 6446, id="text behind"),
        pytest.param("229 (|2|ignored|6446|)", 6446, id="an address of its own is ignored"),
        pytest.param("229(|||6446|)", 6446, id="no text before"),
    ],
)
def test_a_229_reply_gives_a_port_of_the_same_host(reply: str, port: int) -> None:
    assert ftplib.parse229(reply, PEER) == (HOSTv6, port)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param("229 |||6446|", id="no brackets"),
        pytest.param("229 25012)", id="no opening bracket, and a digit that could be a delimiter"),
        pytest.param("229 (|||6446|", id="no closing bracket"),
        pytest.param("229 )(|||6446|", id="closing bracket before"),
        pytest.param("229 ()", id="nothing inside"),
        pytest.param("229 (|||6446!)", id="two delimiters"),
        pytest.param("229 (|||6446|!)", id="something behind the last delimiter"),
        pytest.param("229 (||6446|)", id="a field too few"),
        pytest.param("229 (||||6446|)", id="a field too many"),
        pytest.param("229 (|)", id="a delimiter and no more"),
    ],
)
def test_a_229_reply_of_another_form_is_error_proto(reply: str) -> None:
    with pytest.raises(ftplib.error_proto) as caught:
        ftplib.parse229(reply, PEER)
    assert caught.value.args == (reply,)


@given(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="()0123456789"), st.integers(0, 65535))
def test_any_port_between_any_delimiters_comes_back_from_a_229_reply(delimiter: str, port: int) -> None:
    reply = f"229 extended passive ({delimiter * 3}{port}{delimiter})"
    assert ftplib.parse229(reply, PEER) == (HOSTv6, port)


# --- 257: a name in double quotes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        pytest.param('257 "/pub/new"', "/pub/new", id="a name"),
        pytest.param('257 "/pub/new" created', "/pub/new", id="text behind"),
        pytest.param('257 "/a""b"', '/a"b', id="a doubled quote"),
        pytest.param('257 "/a""b" is "it"', '/a"b', id="quotes in the text behind"),
        pytest.param('257 """"', '"', id="a quote alone"),
        pytest.param('257 "/a"""', '/a"', id="a quote at the end"),
        pytest.param('257 ""', "", id="an empty name"),
        pytest.param('257 "', "", id="a name that breaks off at once"),
        pytest.param('257 "/pub', "/pub", id="a name that breaks off"),
        pytest.param("257 /pub created", "", id="no quotes"),
        pytest.param('257  "/pub"', "", id="two blanks"),
        pytest.param('257-"/pub"', "", id="a hyphen"),
        pytest.param("257", "", id="the code alone"),
    ],
)
def test_a_257_reply_gives_the_name_between_the_quotes(reply: str, name: str) -> None:
    assert ftplib.parse257(reply) == name


@given(line_text, st.sampled_from(["", " created", ' is "it"']))
def test_any_name_comes_back_from_a_257_reply(name: str, behind: str) -> None:
    doubled = name.replace('"', '""')
    assert ftplib.parse257(f'257 "{doubled}"{behind}') == name


# --- all four ------------------------------------------------------------------------------------------

PARSERS: dict[str, Callable[[str], object]] = {
    "150": ftplib.parse150,
    "227": ftplib.parse227,
    "229": lambda reply: ftplib.parse229(reply, PEER),
    "257": ftplib.parse257,
}


@pytest.mark.parametrize("code", PARSERS)
@pytest.mark.parametrize("other", ["200", "15", ""])
def test_another_code_is_error_reply(code: str, other: str) -> None:
    reply = f"{other} (|||1|) 1,2,3,4,5,6"
    with pytest.raises(ftplib.error_reply) as caught:
        PARSERS[code](reply)
    assert caught.value.args == (reply,)


@pytest.mark.parametrize("code", ["150", "227", "257"])
@given(text=line_text)
def test_any_text_behind_the_code_gives_a_value_or_an_error_of_ftplib(code: str, text: str) -> None:
    try:
        PARSERS[code](code + text)
    except ftplib.Error as error:
        assert error.args == (code + text,)  # noqa: PT017 - whether it is raised is left to the text


def test_a_port_that_is_not_a_number_is_ValueError() -> None:
    with pytest.raises(ValueError, match=r"^invalid literal for int"):
        ftplib.parse229("229 (|||http|)", PEER)
