"""`[[tool.parasuite.ambient]]`: what the suite is meant to talk to outside the run, a row each.

    [[tool.parasuite.ambient]]
    port = 6379
    reason = "redis of the build machine; each test uses its own key prefix"

A row has `port`, or `path` for a Unix socket; `reason`; and for a port, if need be, `protocol` (tcp, the default, or
udp) and `address` (all of this host's, by default).
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from parasuite.model.ambient import AmbientService
from parasuite.model.words import Protocol
from parasuite.plan.rows import REASON, Row, rows

AMBIENT = "ambient"
"""The key below [tool.parasuite]."""
_PORT, _PATH, _PROTOCOL, _ADDRESS = "port", "path", "protocol", "address"
_KEYS = (_PORT, _PATH, _PROTOCOL, _ADDRESS, REASON)
_PORT_MAX = 65535


def ambient_services(value: object, file: Path) -> tuple[AmbientService, ...]:
    """The services in *value*, which `ambient` is in [tool.parasuite] of *file*.

    Raises ConfigError for a row that is not as above; its message names the file, the row and the key.
    """
    return tuple(_service(row) for row in rows(value, AMBIENT, file))


def _service(row: Row) -> AmbientService:
    row.check_keys(_KEYS)
    if (_PORT in row.values) == (_PATH in row.values):
        raise row.error(f"needs {_PORT}, or {_PATH} for a Unix socket, and not both")
    reason = row.reason("why the suite may use it")
    if _PATH in row.values:
        return AmbientService(reason=reason, protocol=_unix(row), path=_unix_path(row))
    return AmbientService(
        reason=reason, protocol=_protocol(row), port=row.port(_PORT, _PORT_MAX), address=_address(row)
    )


def _unix(row: Row) -> Protocol:
    if _ADDRESS in row.values:
        raise row.error(f"has {_ADDRESS} beside {_PATH}; a Unix socket has none")
    if row.values.get(_PROTOCOL, Protocol.UNIX) != Protocol.UNIX:
        raise row.must_be(_PROTOCOL, f"{Protocol.UNIX} beside {_PATH}")
    return Protocol.UNIX


def _unix_path(row: Row) -> str:
    path = row.text(_PATH)
    if not path.startswith(("/", "@")) or "\0" in path:
        raise row.must_be(_PATH, "an absolute path, or @NAME for an abstract one")
    return path


def _protocol(row: Row) -> Protocol:
    protocol = row.values.get(_PROTOCOL, Protocol.TCP)
    if protocol not in (Protocol.TCP, Protocol.UDP):
        raise row.must_be(_PROTOCOL, f"{Protocol.TCP} or {Protocol.UDP}")
    return Protocol(str(protocol))


def _address(row: Row) -> str:
    address = row.text(_ADDRESS)
    if address:
        try:
            ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            raise row.must_be(_ADDRESS, "a numeric address such as 127.0.0.1") from None
    return address
