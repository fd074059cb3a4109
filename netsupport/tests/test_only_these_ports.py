"""The corpus and these tests get ports only from a socket bound to port 0 that stays open, or from netsupport."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import netsupport

ROOT = Path(netsupport.__file__).parents[1]
FOLDERS = (ROOT / "converted_tests", ROOT / "netsupport" / "tests")

TAKES_AN_ADDRESS = frozenset({"bind", "create_server", "start_server", "create_datagram_endpoint", "listen"})
"""Calls that take a port. Constructors of classes whose name ends with Server count as well."""

OTHER_SOURCES = frozenset({"portpicker", "ephemeral_port_reserve", "port_for", "socket_helper", "support_helper"})

ITS_OWN_TESTS = frozenset({"netsupport/tests/test_ports.py"})
"""Only the tests of find_unused_port may call it."""


def name_of(function: ast.expr) -> str:
    """The last word of what is called, or ""."""
    return (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )


def fixed_numbers(call: ast.Call) -> Iterator[int]:
    """Ports written as numbers in *call*: the second of an address, or the argument `port`. 0 is none."""
    given = [word.value for word in call.keywords if word.arg == "port"]
    for argument in [*call.args, *(word.value for word in call.keywords if word.arg in ("local_addr", "address"))]:
        if isinstance(argument, ast.Tuple) and len(argument.elts) >= 2:
            given.append(argument.elts[1])
    for value in given:
        if isinstance(value, ast.Constant) and isinstance(value.value, int) and value.value:
            yield value.value


def picks_and_releases(block: ast.With) -> bool:
    """Whether *block* opens a socket and returns its port from inside the block, which closes the socket."""
    opens = any(
        isinstance(item.context_expr, ast.Call) and name_of(item.context_expr.func) in ("socket", "bound_socket")
        for item in block.items
    )
    return opens and any(
        isinstance(node, ast.Return) and node.value is not None and "getsockname" in ast.dump(node.value)
        for node in ast.walk(block)
    )


def faults(source: str, where: str) -> list[str]:
    """Every place in *source* that gets a port in another way."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            # BaseServer keeps the address that it is given, and opens no socket.
            if name in TAKES_AN_ADDRESS or (name.endswith("Server") and name != "BaseServer"):
                found += [f"{where}:{node.lineno}: {name} with the fixed port {port}" for port in fixed_numbers(node)]
            if name == "find_unused_port" and where not in ITS_OWN_TESTS:
                found.append(f"{where}:{node.lineno}: find_unused_port releases the port; use reserve_port")
        elif isinstance(node, ast.With) and picks_and_releases(node):
            found.append(f"{where}:{node.lineno}: returns the port of a socket that it closes; use reserve_port")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = {part for alias in node.names for part in alias.name.split(".")}
            names |= set((getattr(node, "module", None) or "").split("."))
            found += [f"{where}:{node.lineno}: ports from {name}" for name in sorted(names & OTHER_SOURCES)]
    return found


def test_no_port_comes_from_anywhere_else() -> None:
    files = [file for folder in FOLDERS for file in sorted(folder.rglob("*.py"))]
    assert len(files) > 20
    found = [
        fault
        for file in files
        # scenes.py runs in a private network, where no other program takes a port.
        if file.name != "scenes.py"
        for fault in faults(file.read_text("utf-8"), file.relative_to(ROOT).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize(
    "planted",
    [
        "sock.bind(('127.0.0.1', 8080))",
        "socket.create_server(('', 8080))",
        "HTTPServer(('127.0.0.1', 8080), Handler)",
        "await loop.create_server(Protocol, HOST, port=8080)",
        "loop.create_datagram_endpoint(Protocol, local_addr=(HOST, 8080))",
        "port = find_unused_port()",
        "import portpicker",
        "from test.support import socket_helper",
        "from port_for import select_random",
        "def pick():\n    with socket.socket() as s:\n        s.bind(('', 0))\n        return s.getsockname()[1]",
    ],
)
def test_a_planted_fault_is_found(planted: str) -> None:
    source = planted if not planted.startswith("await") else f"async def f():\n    {planted}"
    assert len(faults(source, "planted.py")) == 1


@pytest.mark.parametrize(
    "innocent",
    [
        "sock.bind(('127.0.0.1', 0))",
        "sock.bind((HOST, lease.port))",
        "HTTPServer((HOST, 0), Handler)",
        "urlsplit('http://host:8080/')",
        "with listening_socket() as s:\n    port = s.getsockname()[1]",
    ],
)
def test_an_innocent_line_is_accepted(innocent: str) -> None:
    assert faults(innocent, "innocent.py") == []
