"""Each module can be imported alone, and nothing of ours takes a name that a project may use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import parasuite
import pytest

ROOT = Path(parasuite.__file__).parent
# Names that the standard library has on Linux and not there; and what of Linux's C library is looked up.
ONLY_LINUX = {
    "os": "memfd_create pidfd_open posix_fallocate sched_getaffinity",
    "select": "epoll",
    "socket": "AF_NETLINK AF_VSOCK SOCK_CLOEXEC SOCK_NONBLOCK",
}
ONLY_UNIX = {
    "os": "O_CLOEXEC O_NONBLOCK WNOHANG fork getloadavg geteuid getuid killpg register_at_fork setsid sysconf",
    "select": "poll",
    "signal": "SIGCHLD SIGHUP SIGKILL SIGPIPE SIGUSR1",
    "socket": "AF_UNIX MSG_DONTWAIT SO_REUSEPORT recv_fds send_fds",
}
UNIX_MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
SYSTEMS = {
    "darwin": ([ONLY_LINUX], ()),
    "win32": ([ONLY_LINUX, ONLY_UNIX], UNIX_MODULES),
}
# The libraries that the command line needs are imported as on Linux, and parasuite alone as on the other system.
ELSEWHERE = """
import ctypes, importlib, sys
import parasuite.cli.main
for name in [name for name in sys.modules if name.partition(".")[0] == "parasuite"]:
    del sys.modules[name]
def without(*_, **__):
    raise OSError("no C library by that name, or without that function")
ctypes.CDLL = without
sys.platform = {platform!r}
for name in {blocked!r}:
    sys.modules[name] = None
for absent in {absent!r}:
    for module, names in absent.items():
        for name in names.split():
            vars(importlib.import_module(module)).pop(name, None)
import parasuite.cli.main, parasuite.run.starters.direct
sys.argv = ["parasuite", "--help"]
parasuite.cli.main.main()
"""
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if "recorder" not in path.parts and path.name != "__main__.py"
)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_imported_alone_without_a_warning(module: str) -> None:
    command = [sys.executable, "-W", "error", "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_supervisor_needs_the_standard_library_alone() -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); import parasuite.run.supervisor.main"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_all_that_lies_on_a_copy_s_path_is_marked_as_ours() -> None:
    names = {path.name for path in (ROOT / "sensors" / "recorder").iterdir() if path.name != "__pycache__"}
    assert {name for name in names if not name.startswith("_parasuite_")} <= {"sitecustomize.py"}


@pytest.mark.parametrize("platform", SYSTEMS)
def test_the_command_line_and_the_direct_starter_are_imported_without_what_linux_alone_has(platform: str) -> None:
    absent, blocked = SYSTEMS[platform]
    script = ELSEWHERE.format(platform=platform, absent=absent, blocked=blocked)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: parasuite")


def test_no_test_module_imports_another() -> None:
    """What tests share is in a module of its own: pytest may load a test module twice, under two names."""
    checkout = Path(__file__).parents[2]
    folders = [checkout / name for name in ("netsupport", "runner", "converted_tests")]
    files = [file for folder in folders for file in folder.rglob("test_*.py")]
    assert len(files) > 50
    imported = [
        f"{file.relative_to(checkout)} imports {name}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        for name in (
            [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if any((file.parent / f"{part}.py").exists() for part in name.split(".") if part.startswith("test_"))
    ]
    assert imported == []


@pytest.mark.parametrize(
    ("entry", "costly"),
    [
        # Other commands, and what only they or a run with findings need.
        ("parasuite.cli.main, parasuite.cli.run", "parasuite.cli.demo tarfile markdown_it http.client"),
        ("parasuite.run.supervisor.main", "parasuite.plan.targets parasuite.judge urllib.request"),
    ],
)
def test_what_a_run_does_not_need_at_its_start_is_not_imported(entry: str, costly: str) -> None:
    names = f"[name for name in {costly.split()} if name in sys.modules]"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {entry}; print({names})"], capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
