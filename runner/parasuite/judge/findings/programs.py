"""What to call a program that has no known source line: by its script, where an interpreter runs one."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from pathlib import PurePath

_INTERPRETER = re.compile(
    r"(python|pypy|node|nodejs|deno|bun|ruby|perl|php|lua|bash|dash|sh|zsh|ksh)[0-9.]*", re.IGNORECASE
)
_CARGO_BINARY = re.compile(r"/deps/([^/]+)-[0-9a-f]{16}$")  # A hash over the compiler and what it was built from.
_SUREFIRE = re.compile(r"^surefirebooter[-_0-9]+(?=\.jar$)")  # Maven's forks: another number each time.
_COMM_MAX = 15  # proc_pid_comm(5)
_WITH_VALUE = {
    "-m",
    "-jar",
    "--require",
    "-r",
    "--import",
    "--loader",
    "-W",
    "-X",
    "-cp",
    "-classpath",
    "--class-path",
}


@lru_cache(maxsize=4096)
def program_name(process: str, command: str) -> str:
    """*process*, with the script or class that it runs: "node a.test.js", "java Server", "python -m http.server".
    An interpreter's version is left out.

    *command*: its command line, as far as it is known. Paths are cut to file names, since folders differ from copy to
    copy; code given on the command line (-c, -e) is left out.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    if not words:
        return process
    name = PurePath(words[0]).name
    if name == "java":
        script = _java_class(words[1:])
    elif interpreter := _INTERPRETER.fullmatch(name):
        name, script = interpreter[1], _script(words[1:])
    elif built := _CARGO_BINARY.search(words[0]):
        return built[1]
    else:
        return process if process and not _is_cut_off(process, name) else name
    return f"{name} {script}".strip()


def _is_cut_off(process: str, name: str) -> bool:
    """Whether the kernel's name of a process is the beginning of *name*, its program's."""
    return len(process) == _COMM_MAX and name.startswith(process)


def _script(arguments: list[str]) -> str:
    previous = ""
    for word in arguments:
        if word in ("-c", "-e", "--eval", "-p", "--print"):
            return ""
        if previous == "-m":
            return f"-m {word}"
        if not word.startswith("-") and previous not in _WITH_VALUE:
            return PurePath(word).name
        previous = word
    return ""


def _java_class(arguments: list[str]) -> str:
    previous = ""
    for word in arguments:
        if previous in ("-jar", "-m", "--module"):
            return _SUREFIRE.sub("surefirebooter", PurePath(word).name)
        if not word.startswith("-") and previous not in _WITH_VALUE:
            return PurePath(word).name
        previous = word
    return ""
