"""Which helper drew a port is known by its module, and its hint says what that helper leaves open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from parasuite.judge.findings.draw_hints import EPHEMERAL_PORT_RESERVE_HINT, PORT_FOR_HINT, hint_for_draw
from parasuite.model.causes import Cause
from parasuite.model.location import Location
from parasuite.model.party import Caller

from runner.tests.conftest import Parasuite

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
    callers = [Caller(frames=frames) for frames in ((drawn,), (drawn, USERS), (USERS, drawn))]
    assert [hint_for_draw(caller) for caller in callers] == [hint] * 3


def test_the_library_that_drew_for_the_users_frames_gives_its_hint() -> None:
    assert hint_for_draw(Caller(frames=(USERS,), library=f"{SITE}/port_for/api.py")) == PORT_FOR_HINT
    assert hint_for_draw(Caller(frames=(USERS,), library=f"{SITE}/portpicker.py")) is None


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
    assert hint_for_draw(Caller(frames=(Location(file, 1, "reserve"),))) is None


def test_without_frames_there_is_no_hint() -> None:
    assert hint_for_draw(Caller()) is None


def test_the_innermost_helper_is_the_one_that_drew() -> None:
    """pytest plug-ins draw with port-for, and one of them may call another helper from within it."""
    frames = (
        Location(f"{SITE}/ephemeral_port_reserve.py", 30, "reserve"),
        Location(f"{SITE}/port_for/api.py", 9, "x"),
    )
    assert hint_for_draw(Caller(frames=frames)) == EPHEMERAL_PORT_RESERVE_HINT


@pytest.mark.parametrize("sensors", ["auto", "recorder"])
@pytest.mark.parametrize(
    ("module", "hint"), [("ephemeral_port_reserve", EPHEMERAL_PORT_RESERVE_HINT), ("portpicker", None)]
)
def test_a_lost_port_that_an_installed_helper_drew_has_the_hint_of_that_helper(
    parasuite: Parasuite, suite: Callable[[str, str], Path], sensors: str, module: str, hint: str | None
) -> None:
    folder = parasuite.cwd / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / f"{module}.py").write_text(
        "import socket\n"
        "def reserve():\n"
        "    with socket.create_server(('127.0.0.1', 0)) as server: return server.getsockname()[1]\n"
    )
    suite(
        f"import socket, sys\nsys.path.insert(0, {str(folder)!r})\n"
        f"from {module} import reserve\n"
        "def test_it():\n"
        "    port = reserve()\n"
        "    socket.create_server(('127.0.0.1', port)).close()\n",
        "test_it.py",
    )
    (finding,) = parasuite.run_pytest("-j", "1", "--sensors", sensors, "tests").findings
    assert (finding["cause"], {place["file"] for place in finding["places"]}) == ("lost-port", {"tests/test_it.py"})
    assert finding["hint"] == (hint or Cause.LOST_PORT.info.hint)
