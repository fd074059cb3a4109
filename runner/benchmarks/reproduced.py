"""Provokes planted findings many times: `python -m runner.benchmarks.reproduced [--times 20]`.

Each must be reproduced at the first try, every time, and not any more once it is cured. The findings are those of the
planted pytest suite, and those of a program in each language that is installed. Prints a row for each, and the output
of each try that went wrong; exits with 1 if any did.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from netsupport import reserve_port
from runner.tests.conftest import PLANTED, Parasuite, clean_environment

TIMES = 20
TIMES_PER_CURE = 5
PATIENCE_S = "60"
CURED = {"PLANTED_CURED": "1"}
NAMES = ("fixed", "reuse", "crosstalk", "hang", "first", "second")  # Of the ports of the planted pytest suite.
SOURCES = Path(__file__).parent / "servers"
MODES = {
    "fixed-tcp": "hard-coded",
    "fixed-udp": "hard-coded",
    "lost-tcp": "lost-port",
    "lost-udp": "lost-port",
    "closed-tcp": "closed-port",
    "reuse-tcp": "reuse",
    "reuse-udp": "reuse",
}
"""What a program does, by its first argument, and the cause of the finding. Its second argument is a port."""
TESTS = {
    "test_fixed[tcp]": "hard-coded",
    "test_fixed[udp]": "hard-coded",
    "test_lost[tcp]": "lost-port",
    "test_lost[udp]": "lost-port",
    "test_closed": "closed-port",
    "test_reuse_tcp": "hard-coded",
    "test_reuse_udp": "reuse",
}
"""The same for tests of the planted pytest suite."""


@dataclass(frozen=True)
class Language:
    """*needs*: a program. *build*: how to compile {source} to {made}; () if nothing is compiled. *run*: what executes
    one of the two. *lacks*: modes for which it has no means.
    """

    source: str
    needs: str
    run: tuple[str, ...]
    build: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


LANGUAGES = {
    "Python": Language("server.py", sys.executable, (sys.executable, "{source}")),
    # `reusePort` of net.Server came with node 23.1; here is what any node can do.
    "node": Language("server.js", "node", ("node", "{source}"), lacks=("reuse-tcp",)),
    "Java": Language(
        "Server.java", "javac", ("java", "-cp", "{folder}", "Server"), ("javac", "-d", "{folder}", "{source}")
    ),
    "Go": Language("server.go", "go", ("{made}",), ("go", "build", "-o", "{made}", "{source}")),
    "static C": Language("server.c", "gcc", ("{made}",), ("gcc", "-static", "-o", "{made}", "{source}")),
}


@dataclass(kw_only=True)
class Case:
    """A finding to provoke: that of *cause* which `parasuite run` with *arguments* has, and of *test* if it has more.

    *problems*: the output of each try that went wrong.
    """

    name: str
    cause: str
    parasuite: Parasuite
    arguments: tuple[str, ...]
    test: str = ""
    finding: str = ""
    reproduced: int = 0
    tries: int = 0
    cured: int = 0
    cure_tries: int = 0
    problems: list[str] = field(default_factory=list)

    def find(self) -> None:
        """Make the run that has the finding."""
        found = self.parasuite("run", *self.arguments)
        ids = [
            finding["id"]
            for finding in found.findings
            if finding["cause"] == self.cause and (not self.test or finding["tests"][0].endswith(f"::{self.test}"))
        ]
        if len(ids) != 1:
            self.problems.append(f"{len(ids)} findings of {self.cause}\n{found.stdout}{found.stderr}")
        else:
            self.finding = ids[0]

    def reproduce(self) -> None:
        """Provoke the finding once."""
        self.tries += 1
        self.reproduced += self._has_code(66, {})

    def cure(self) -> None:
        """Provoke it once in the cured suite."""
        self.cure_tries += 1
        self.cured += self._has_code(0, CURED)

    def row(self) -> str:
        reproduced = f"{self.reproduced} of {self.tries} reproduced"
        return f"{self.name:<26} {reproduced:<22} not any more once cured: {self.cured} of {self.cure_tries}"

    def _has_code(self, code: int, environ: Mapping[str, str]) -> bool:
        finished = self.parasuite("repro", self.finding, "--timeout", PATIENCE_S, environ=environ)
        if finished.code != code:
            self.problems.append(f"exit code {finished.code} instead of {code}\n{finished.stdout}{finished.stderr}")
        return finished.code == code


def try_all(cases: Sequence[Case], times: int, budget_s: float) -> None:
    """Provoke each finding *times* times in turns, and its cure in every TIMES_PER_CUREth turn, for *budget_s*."""
    give_up_s = time.monotonic() + budget_s
    for case in cases:
        case.find()
    for turn in range(times):
        for case in (case for case in cases if case.finding):
            if time.monotonic() > give_up_s:
                return
            case.reproduce()
            if turn % TIMES_PER_CURE == 0:
                case.cure()


def programs(parasuite: Parasuite, port: int, suite_user: int | None) -> Iterator[Case]:
    """The cases of each language that is installed; what is left out is printed."""
    as_user = ("setpriv", f"--reuid={suite_user}", f"--regid={suite_user}", "--clear-groups") if suite_user else ()
    for name, language in LANGUAGES.items():
        if shutil.which(language.needs) is None:
            print(f"left out: {name}: {language.needs} is not installed")
            continue
        folder = parasuite.cwd / name.replace(" ", "-")
        folder.mkdir()
        words = {"source": str(SOURCES / language.source), "made": str(folder / "server"), "folder": str(folder)}
        built = subprocess.run(
            _filled(language.build or ("true",), words), capture_output=True, text=True, check=False
        )
        if built.returncode:
            print(f"left out: {name}: {built.stderr.strip()}")
            continue
        folder.chmod(0o755)
        for mode, cause in MODES.items():
            if mode in language.lacks:
                print(f"left out: {name} {mode}")
                continue
            argv = (*as_user, *_filled(language.run, words), mode, str(port))
            yield Case(
                name=f"{name} {mode}",
                cause=cause,
                parasuite=_inside(parasuite, mode, folder),
                arguments=("-j", "1", "--", *argv),
            )


def _inside(parasuite: Parasuite, name: str, folder: Path) -> Parasuite:
    """*parasuite* in a new folder, so that only the case's own runs are found there."""
    cwd = folder / name
    cwd.mkdir()
    return replace(parasuite, cwd=cwd)


def _filled(words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    return [word.format(**values) for word in words]


def tests(parasuite: Parasuite, ports: Sequence[int]) -> Iterator[Case]:
    """The cases of the planted pytest suite."""
    named = zip(NAMES, ports, strict=True)
    environ = {
        "PLANTED_PORTS": ",".join(f"{name}={port}" for name, port in named),
        "PYTEST_ADDOPTS": "-p no:randomly",
    }
    parasuite = replace(parasuite, environ={**parasuite.environ, **environ})
    target = ("-j", "2", "--python", sys.executable, str(PLANTED / "provoked"))
    for number, (test, cause) in enumerate(TESTS.items()):
        inside = _inside(parasuite, f"tests-{number}", parasuite.cwd)
        arguments = (*target, "-k", test.partition("[")[0])
        yield Case(name=f"pytest {test}", cause=cause, parasuite=inside, arguments=arguments, test=test)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=TIMES, help="how often each finding is provoked")
    parser.add_argument(
        "--suite-user", type=int, help="uid that the programs run as, other than parasuite's (as root)"
    )
    parser.add_argument("--budget", type=float, default=math.inf, help="begin no more tries after that many seconds")
    parser.add_argument("-k", dest="part", default="", help="only cases whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reproduced-") as folder, contextlib.ExitStack() as stack:
        Path(folder).chmod(0o755)  # For programs of another user.
        ports = [stack.enter_context(reserve_port(child_reuses_address=False)).port for _ in range(len(NAMES) + 1)]
        parasuite = Parasuite(Path(folder), clean_environment())
        cases = programs(parasuite, ports[-1], options.suite_user)
        if options.suite_user is None:
            cases = itertools.chain(tests(parasuite, ports[:-1]), cases)
        else:
            print("left out: pytest: its copies write into folders of parasuite's user")
        chosen = [case for case in cases if options.part in case.name]
        try_all(chosen, options.times, options.budget)
        for case in chosen:
            print(case.row())
            for problem in case.problems:
                print(textwrap.indent(problem, "    "))
    return 1 if any(case.problems for case in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
