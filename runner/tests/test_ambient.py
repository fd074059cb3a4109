"""[[tool.parasuite.ambient]]: which rows can be used, which endpoints they match, and that run.json has them."""

from __future__ import annotations

import contextlib
import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.model.ambient import AmbientService
from parasuite.model.events import Endpoint
from parasuite.model.network import Network
from parasuite.model.words import Protocol
from parasuite.plan.ambient import ambient_services
from parasuite.plan.errors import ConfigError

from runner.tests.conftest import Parasuite

FILE = Path("pyproject.toml")
ROW = "row 1 of [[tool.parasuite.ambient]]"


def services(text: str) -> tuple[AmbientService, ...]:
    """Those of rows in TOML, each below [[ambient]]."""
    return ambient_services(tomllib.loads(text)["ambient"], FILE)


@pytest.mark.parametrize(
    ("row", "service"),
    [
        ("port = 6379", AmbientService(reason="why", port=6379)),
        ("port = 53\nprotocol = 'udp'", AmbientService(reason="why", protocol=Protocol.UDP, port=53)),
        ("port = 80\naddress = '::1'", AmbientService(reason="why", port=80, address="::1")),
        ("path = '/run/x'", AmbientService(reason="why", protocol=Protocol.UNIX, path="/run/x")),
        ("path = '@x'\nprotocol = 'unix'", AmbientService(reason="why", protocol=Protocol.UNIX, path="@x")),
    ],
)
def test_a_row_is_a_service(row: str, service: AmbientService) -> None:
    assert services(f"[[ambient]]\n{row}\nreason = 'why'") == (service,)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("prot = 1\nreason = 'x'", f"{ROW} has an unknown key 'prot'; did you mean port?"),
        ("colour = 1", f"{ROW} has an unknown key 'colour' (known: address, path, port, protocol, reason)"),
        ("reason = 'x'", f"{ROW} needs port, or path for a Unix socket, and not both"),
        ("port = 1\npath = '/x'\nreason = 'x'", f"{ROW} needs port, or path for a Unix socket, and not both"),
        ("port = 1", f"{ROW} needs reason: why the suite may use it"),
        ("port = 1\nreason = ' '", f"{ROW} reason must be text that is not empty, not ' '"),
        ("port = 1\nreason = 7", f"{ROW} reason must be text that is not empty, not 7"),
        ("port = 0\nreason = 'x'", f"{ROW} port must be a whole number from 1 to 65535, not 0"),
        ("port = 65536\nreason = 'x'", f"{ROW} port must be a whole number from 1 to 65535, not 65536"),
        ("port = true\nreason = 'x'", f"{ROW} port must be a whole number from 1 to 65535, not True"),
        ("port = '80'\nreason = 'x'", f"{ROW} port must be a whole number from 1 to 65535, not '80'"),
        ("port = 1\nprotocol = 'sctp'\nreason = 'x'", f"{ROW} protocol must be tcp or udp, not 'sctp'"),
        ("port = 1\nprotocol = 6\nreason = 'x'", f"{ROW} protocol must be tcp or udp, not 6"),
        ("port = 1\nprotocol = ['tcp']\nreason = 'x'", f"{ROW} protocol must be tcp or udp, not ['tcp']"),
        (
            "port = 1\naddress = 'localhost'\nreason = 'x'",
            f"{ROW} address must be a numeric address such as 127.0.0.1",
        ),
        ("path = 'run/x'\nreason = 'x'", f"{ROW} path must be an absolute path, or @NAME for an abstract one"),
        ("path = ''\nreason = 'x'", f"{ROW} path must be text that is not empty, not ''"),
        ("path = '/x'\nprotocol = 'tcp'\nreason = 'x'", f"{ROW} protocol must be unix beside path, not 'tcp'"),
        ("path = '/x'\naddress = '::1'\nreason = 'x'", f"{ROW} has address beside path; a Unix socket has none"),
    ],
)
def test_a_row_that_cannot_be_used_is_an_error_that_names_it(row: str, message: str) -> None:
    with pytest.raises(ConfigError) as failure:
        services(f"[[ambient]]\n{row}")
    assert str(failure.value).startswith(f"{FILE}: {message}")


def test_the_row_with_the_mistake_is_named_by_its_number() -> None:
    with pytest.raises(ConfigError, match=r"row 2 of \[\[tool.parasuite.ambient\]\] needs port"):
        services("[[ambient]]\nport = 1\nreason = 'x'\n[[ambient]]\nreason = 'x'")


@pytest.mark.parametrize("text", ["ambient = 6379", "ambient = 'redis'", "[ambient]\nport = 1", "ambient = [6379]"])
def test_what_is_no_list_of_tables_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"pyproject.toml: .*ambient.* must be"):
        services(text)


toml_values = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["port", "path", "protocol", "address", "reason"])


@given(rows=st.lists(st.dictionaries(keys, toml_values | st.just("x") | st.integers(1, 9))) | toml_values)
def test_any_rows_are_services_or_a_documented_error(rows: object) -> None:
    with contextlib.suppress(ConfigError):
        found = ambient_services(rows, FILE)
        assert all(service.reason and bool(service.port) != bool(service.path) for service in found)


REDIS = AmbientService(reason="why", port=6379)
LOCAL_REDIS = AmbientService(reason="why", port=6379, address="127.0.0.1")
DISPLAY = AmbientService(reason="why", protocol=Protocol.UNIX, path="/tmp/.X11-unix/X0")


@pytest.mark.parametrize(
    ("service", "endpoint"),
    [
        (REDIS, Endpoint(Protocol.TCP, "127.0.0.1", 6379)),
        (REDIS, Endpoint(Protocol.TCP, "::1", 6379)),
        (LOCAL_REDIS, Endpoint(Protocol.TCP, "127.0.0.1", 6379)),
        (LOCAL_REDIS, Endpoint(Protocol.TCP, "::ffff:127.0.0.1", 6379)),
        (LOCAL_REDIS, Endpoint(Protocol.TCP, "0.0.0.0", 6379)),
        (DISPLAY, Endpoint(Protocol.UNIX, "/tmp/.X11-unix/X0")),
        (DISPLAY, Endpoint(Protocol.UNIX, "/tmp//.X11-unix/./X0", 0, Network(7))),
    ],
)
def test_a_service_matches_its_endpoint_however_that_is_written(service: AmbientService, endpoint: Endpoint) -> None:
    assert service.matches(endpoint)


@pytest.mark.parametrize(
    ("service", "endpoint"),
    [
        (REDIS, Endpoint(Protocol.TCP, "127.0.0.1", 6380)),
        (REDIS, Endpoint(Protocol.UDP, "127.0.0.1", 6379)),
        (REDIS, Endpoint(Protocol.TCP, "127.0.0.1", 6379, Network(7))),
        (LOCAL_REDIS, Endpoint(Protocol.TCP, "127.0.0.2", 6379)),
        (LOCAL_REDIS, Endpoint(Protocol.TCP, "::1", 6379)),
        (DISPLAY, Endpoint(Protocol.UNIX, "/tmp/.X11-unix/X1")),
        (DISPLAY, Endpoint(Protocol.UNIX, "@/tmp/.X11-unix/X0")),
    ],
)
def test_a_service_matches_no_other_endpoint(service: AmbientService, endpoint: Endpoint) -> None:
    assert not service.matches(endpoint)


@pytest.mark.parametrize(
    ("service", "text"), [(REDIS, "*:6379"), (LOCAL_REDIS, "127.0.0.1:6379"), (DISPLAY, "unix:/tmp/.X11-unix/X0")]
)
def test_a_service_reads_as_people_write_it(service: AmbientService, text: str) -> None:
    assert str(service) == text


def test_the_record_of_a_run_has_the_services_of_its_project(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text(
        "[[tool.parasuite.ambient]]\nport = 6379\nreason = 'redis of the build machine'\n"
    )
    assert parasuite("run", "-j", "1", "--sensors", "none", "--", "true").code == 0
    stored = json.loads((parasuite.cwd / ".parasuite" / "latest" / "run.json").read_text())
    assert stored["ambient"] == [
        {"reason": "redis of the build machine", "protocol": "tcp", "port": 6379, "address": "", "path": ""}
    ]


def test_a_row_that_cannot_be_used_stops_a_run_before_it_starts(parasuite: Parasuite) -> None:
    (parasuite.cwd / "pyproject.toml").write_text("[[tool.parasuite.ambient]]\nport = 6379\n")
    finished = parasuite("run", "-j", "1", "--", "true")
    assert (finished.code, finished.stderr.count("\n")) == (2, 1)
    assert "row 1 of [[tool.parasuite.ambient]] needs reason" in finished.stderr
