"""What to call a program that has no known source line: by its script, where an interpreter runs one."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from pathlib import PurePath

_INTERPRETER = re.compile(
    r"(python|pypy|node|nodejs|deno|bun|ruby|perl|php|lua|bash|dash|sh|zsh|ksh)[0-9.]*", re.IGNORECASE
)
_CARGO_HASH = re.compile(r"(?<=.)-[0-9a-f]{16}$")  # Of what a test binary was built from.
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

    *command*: its command line, as far as it is known. Paths are cut to file names, since folders differ from copy to
    copy; code given on the command line (-c, -e) is left out.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    if not words:
        return process
    name = _CARGO_HASH.sub("", PurePath(words[0]).name)
    if name == "java":
        script = _java_class(words[1:])
    elif _INTERPRETER.fullmatch(name):
        script = _script(words[1:])
    else:
        return name
    return f"{name} {script}".strip()


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
        if previous == "-jar":
            return PurePath(word).name
        if not word.startswith("-") and previous not in _WITH_VALUE:
            return PurePath(word).name
        previous = word
    return ""
