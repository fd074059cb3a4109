"""Which helper drew a port is known by its module, and its hint says what that helper leaves open."""

from __future__ import annotations

import pytest
from parasuite.judge.findings.draw_hints import EPHEMERAL_PORT_RESERVE_HINT, PORT_FOR_HINT, hint_for_draw
from parasuite.model.location import Location

SITE = "/usr/lib/python3/site-packages"
USERS = Location("tests/conftest.py", 7, "port")


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        (f"{SITE}/ephemeral_port_reserve.py", EPHEMERAL_PORT_RESERVE_HINT),
        ("ephemeral_port_reserve.py", EPHEMERAL_PORT_RESERVE_HINT),
        (f"{SITE}/port_for/api.py", PORT_FOR_HINT),
        ("vendored/port_for/_download_ranges.py", PORT_FOR_HINT),
        (r"C:\Lib\site-packages\port_for\api.py", PORT_FOR_HINT),
    ],
)
def test_a_frame_of_the_helper_gives_its_hint_wherever_it_is_on_the_stack(file: str, hint: str) -> None:
    drawn = Location(file, 30, "reserve")
    assert [hint_for_draw(frames) for frames in ((drawn,), (drawn, USERS), (USERS, drawn))] == [hint] * 3


@pytest.mark.parametrize(
    "file",
    [
        "tests/conftest.py",
        "tests/test_ephemeral_port_reserve.py",
        "ephemeral_port_reserve.pyc",
        "tests/port_for.py",
        "support_for/api.py",
        "export_for/api.py",
        "",
    ],
)
def test_no_other_frame_gives_one(file: str) -> None:
    assert hint_for_draw([Location(file, 1, "reserve")]) is None


def test_without_frames_there_is_no_hint() -> None:
    assert hint_for_draw([]) is None


def test_the_innermost_helper_is_the_one_that_drew() -> None:
    """pytest plug-ins draw with port-for, and one of them may call another helper from within it."""
    frames = [
        Location(f"{SITE}/ephemeral_port_reserve.py", 30, "reserve"),
        Location(f"{SITE}/port_for/api.py", 9, "x"),
    ]
    assert hint_for_draw(frames) == EPHEMERAL_PORT_RESERVE_HINT
