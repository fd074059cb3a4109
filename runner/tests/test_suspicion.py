"""Which calls are provoked, and what is taken for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.causes import Cause
from parasuite.model.events import Endpoint
from parasuite.model.location import Location
from parasuite.model.overlap import is_loopback, overlaps
from parasuite.model.party import Caller, Party, Process
from parasuite.model.suspect import StoredFinding, Suspect
from parasuite.model.words import Protocol, SocketOption
from parasuite.sensors.seccomp.suspicion import Suspicion, endpoints_to_take

TCP, UDP = Protocol.TCP, Protocol.UDP
DRAWING, OTHER = Location("/src/ports.py", 3, "draw"), Location("/src/other.py", 9, "serve")
PORT = 40001
COPY = Process(Party(0), 1)


def caller(location: Location | None = DRAWING, test: str = "a") -> Caller:
    return Caller(COPY, 1, test, () if location is None else (location,))


def at(port: int, protocol: Protocol = TCP, address: str = "127.0.0.1") -> Endpoint:
    return Endpoint(protocol, address, port)


def suspicion(cause: Cause, *, port: int = 0, protocol: Protocol = TCP, held: bool = False) -> Suspicion:
    suspect = Suspect(cause=cause, protocol=protocol, port=port, places=("ports.py:draw",), programs=("node",))
    return Suspicion(suspect, lambda *_: held)


def draw(made: Suspicion, who: Caller, name: str = "python") -> None:
    made.learn(who, name, at(0), at(PORT))


def test_a_fixed_port_is_taken_for_whoever_binds_it_by_number() -> None:
    made = suspicion(Cause.HARD_CODED, port=PORT)
    assert made.before_bind(caller(OTHER), "python", at(PORT), ())
    assert not made.before_bind(caller(), "python", at(PORT + 1), ())
    assert not made.before_bind(caller(), "python", at(PORT, UDP), ())


def test_a_drawn_port_is_taken_in_its_window_and_once_for_each_test() -> None:
    made = suspicion(Cause.LOST_PORT)
    assert not made.before_bind(caller(), "python", at(PORT), ())  # The kernel has not assigned it.
    draw(made, caller())
    assert made.before_bind(caller(OTHER), "python", at(PORT), ())
    assert not made.before_bind(caller(OTHER), "python", at(PORT), ())
    assert made.before_bind(caller(OTHER, test="b"), "python", at(PORT), ())


def test_a_drawn_port_that_somebody_still_has_is_not_taken() -> None:
    made = suspicion(Cause.LOST_PORT, held=True)
    draw(made, caller())
    assert not made.before_bind(caller(), "python", at(PORT), ())


def test_a_port_that_others_draw_and_bind_is_left_alone() -> None:
    made = suspicion(Cause.LOST_PORT)
    draw(made, caller(OTHER))
    assert not made.before_bind(caller(OTHER), "python", at(PORT), ())


def test_a_program_without_lines_is_known_by_its_name() -> None:
    made = suspicion(Cause.LOST_PORT)
    draw(made, caller(None), "node")
    assert made.before_bind(caller(None), "other", at(PORT), ())


def test_a_connect_to_a_released_port_is_answered_and_one_to_any_other_is_not() -> None:
    made = suspicion(Cause.CLOSED_PORT)
    draw(made, caller())
    assert not made.before_connect(caller(), "python", at(PORT + 1))
    assert made.before_connect(caller(), "python", at(PORT))


def test_a_second_owner_comes_after_a_socket_that_lets_it_in() -> None:
    made = suspicion(Cause.REUSE, protocol=UDP)
    reuse = (SocketOption.REUSEADDR,)
    assert made.after_bind(caller(), "python", at(0, UDP), at(PORT, UDP), reuse)
    assert not made.after_bind(caller(), "python", at(0, UDP), at(PORT, UDP), ())
    assert not made.after_bind(caller(), "python", at(PORT, UDP), at(PORT, UDP), reuse)


def test_a_datagram_socket_that_the_last_owner_takes_over_is_followed() -> None:
    made = suspicion(Cause.HARD_CODED, port=PORT, protocol=UDP)
    reuse = (SocketOption.REUSEADDR,)
    assert not made.before_bind(caller(), "python", at(PORT, UDP), reuse)
    assert made.after_bind(caller(), "python", at(PORT, UDP), at(PORT, UDP), reuse)


addresses = st.ip_addresses().map(str) | st.sampled_from(["0.0.0.0", "::", "127.0.0.1", "::1", "::ffff:127.0.0.1"])


@given(addresses, st.sampled_from([None, True, False]), st.sampled_from([TCP, UDP]))
def test_only_loopback_endpoints_are_taken_and_each_is_in_the_way(
    address: str, v6only: bool | None, protocol: Protocol
) -> None:
    asked = Endpoint(protocol, address, PORT, v6only=v6only)
    for taken in endpoints_to_take(asked):
        assert is_loopback(taken.address)
        assert overlaps(asked, taken, "linux")


def finding(**changes: object) -> StoredFinding:
    values = {
        "id": "0123456789",
        "cause": Cause.LOST_PORT,
        "title": "",
        "protocol": TCP,
        "address": "127.0.0.1",
        "port": PORT,
        "tests": (),
        "places": (DRAWING,),
        "programs": ("python",),
    }
    return StoredFinding(**values | changes)  # type: ignore[arg-type]


def test_the_port_of_a_run_is_no_port_of_the_next_unless_it_is_hard_coded() -> None:
    assert Suspect.of(finding()).port == 0
    assert Suspect.of(finding(cause=Cause.HARD_CODED)).port == PORT
    assert Suspect.of(finding()).places == ("ports.py:draw",)


def test_what_cannot_be_provoked_has_a_reason() -> None:
    provoked = {cause for cause in Cause if not finding(cause=cause).why_not_provoked}
    assert provoked == {Cause.HARD_CODED, Cause.LOST_PORT, Cause.CLOSED_PORT, Cause.REUSE}
    assert finding(cause=Cause.HARD_CODED, protocol=Protocol.UNIX).why_not_provoked
    assert finding(cause=Cause.HARD_CODED, protocol=Protocol.VSOCK).why_not_provoked
    assert finding(cause=Cause.HARD_CODED, is_drawn=True).why_not_provoked
