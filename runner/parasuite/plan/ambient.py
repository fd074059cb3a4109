"""`[[tool.parasuite.ambient]]`: what the suite is meant to talk to outside the run, a row each.

    [[tool.parasuite.ambient]]
    port = 6379
    reason = "redis of the build machine; each test uses its own key prefix"

A row has `port`, or `path` for a Unix socket; `reason`; and for a port, if need be, `protocol` (tcp, the default, or
udp) and `address` (all of this host's, by default).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

from parasuite.model.ambient import AmbientService
from parasuite.model.words import Protocol
from parasuite.plan.errors import ConfigError, did_you_mean, must_be

AMBIENT = "ambient"
"""The key below [tool.parasuite]."""
_PORT, _PATH, _PROTOCOL, _ADDRESS, _REASON = "port", "path", "protocol", "address", "reason"
_KEYS = (_PORT, _PATH, _PROTOCOL, _ADDRESS, _REASON)
_PORT_MAX = 65535


def ambient_services(value: object, file: Path) -> tuple[AmbientService, ...]:
    """The services in *value*, which `ambient` is in [tool.parasuite] of *file*.

    Raises ConfigError for a row that is not as above; its message names the file, the row and the key.
    """
    if not isinstance(value, list):
        raise must_be(f"{file}: {AMBIENT}", f"rows, each below [[tool.parasuite.{AMBIENT}]]", value)
    return tuple(
        _service(_Row(f"{file}: row {number} of [[tool.parasuite.{AMBIENT}]]", row))
        for number, row in enumerate(value, 1)
    )


class _Row:
    """One row; *name*: for messages."""

    def __init__(self, name: str, values: object) -> None:
        self.name = name
        if not isinstance(values, Mapping):
            raise must_be(name, "a table", values)
        self.values: Mapping[str, object] = values

    def error(self, what: str) -> ConfigError:
        return ConfigError(f"{self.name} {what}")

    def must_be(self, key: str, what: str) -> ConfigError:
        return must_be(f"{self.name} {key}", what, self.values[key])

    def text(self, key: str) -> str:
        """The text at *key*, "" if there is none."""
        text = self.values.get(key, "")
        if not isinstance(text, str) or (key in self.values and not text.strip()):
            raise self.must_be(key, "text that is not empty")
        return text


def _service(row: _Row) -> AmbientService:
    for key in row.values:
        if key not in _KEYS:
            raise row.error(f"has an unknown key {key!r}{did_you_mean(key, {each: each for each in _KEYS})}")
    if (_PORT in row.values) == (_PATH in row.values):
        raise row.error(f"needs {_PORT}, or {_PATH} for a Unix socket, and not both")
    if _REASON not in row.values:
        raise row.error(f"needs {_REASON}: why the suite may use it, for those who read the report")
    reason = row.text(_REASON)
    if _PATH in row.values:
        return AmbientService(reason=reason, protocol=_unix(row), path=_unix_path(row))
    return AmbientService(reason=reason, protocol=_protocol(row), port=_port(row), address=_address(row))


def _unix(row: _Row) -> Protocol:
    if _ADDRESS in row.values:
        raise row.error(f"has {_ADDRESS} beside {_PATH}; a Unix socket has none")
    if row.values.get(_PROTOCOL, Protocol.UNIX) != Protocol.UNIX:
        raise row.must_be(_PROTOCOL, f"{Protocol.UNIX} beside {_PATH}")
    return Protocol.UNIX


def _unix_path(row: _Row) -> str:
    path = row.text(_PATH)
    if not path.startswith(("/", "@")) or "\0" in path:
        raise row.must_be(_PATH, "an absolute path, or @NAME for an abstract one")
    return path


def _protocol(row: _Row) -> Protocol:
    protocol = row.values.get(_PROTOCOL, Protocol.TCP)
    if protocol not in (Protocol.TCP, Protocol.UDP):
        raise row.must_be(_PROTOCOL, f"{Protocol.TCP} or {Protocol.UDP}")
    return Protocol(str(protocol))


def _port(row: _Row) -> int:
    port = row.values[_PORT]
    if type(port) is not int or not 0 < port <= _PORT_MAX:  # To Python, true is the number 1.
        raise row.must_be(_PORT, f"a whole number from 1 to {_PORT_MAX}")
    return port


def _address(row: _Row) -> str:
    address = row.text(_ADDRESS)
    if address:
        try:
            ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            raise row.must_be(_ADDRESS, "a numeric address such as 127.0.0.1") from None
    return address
