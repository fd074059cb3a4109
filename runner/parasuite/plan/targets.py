"""What a run runs: the bundled corpus, a pytest tree, or any command.

Everything that depends on the kind of target is a method or a field of its class. A new kind is one more class here;
nothing elsewhere asks which one it has.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Self

from parasuite.model.run_record import TargetKind, TargetRecord
from parasuite.model.words import TestTool
from parasuite.plan.errors import ConfigError

_RUN_YOUR_OWN = "your own suite: parasuite run TESTS, or parasuite run -- COMMAND"


class ResultSource(StrEnum):
    """Where the test results of a copy come from.

    PYTEST: our plug-in inside pytest writes results.jsonl. COMMAND: the exit status of the command, and what is known
    of its tests: JUnit files that it writes (--collect-junit), what the recorder saw of its Python test runners, or
    what they printed.
    """

    PYTEST = "pytest"
    COMMAND = "command"


class Interpreter(StrEnum):
    """Which Python a target is run with.

    NONE: it does not need one. OWN: the one that parasuite runs with. PROJECT: that of the user's project.
    """

    NONE = "none"
    OWN = "own"
    PROJECT = "project"


class Target(ABC):
    """*kind*: in run.json. *needs*: modules that its interpreter must be able to import. *hint*: for who runs it."""

    __slots__ = ()

    kind: ClassVar[TargetKind]
    results: ClassVar[ResultSource]
    interpreter: ClassVar[Interpreter]
    needs: ClassVar[tuple[str, ...]] = ()
    hint: ClassVar[str] = ""

    @property
    @abstractmethod
    def description(self) -> str:
        """The target in a few words, for people."""

    @property
    def whole_copy(self) -> str:
        """The id of a test result that is about a copy as a whole."""
        return "copy"

    @property
    def tool(self) -> TestTool:
        """The tool whose output says which tests ran."""
        return TestTool.NONE

    @abstractmethod
    def argv(self, *, python: str, pytest_args: Sequence[str], folder: Path | None, scratch: Path) -> tuple[str, ...]:
        """The program and arguments of one copy. *scratch*: for temporary files.

        *folder*: below the run folder, for what it keeps from run to run; None leaves that where the project has it.
        """

    @abstractmethod
    def record(self) -> TargetRecord:
        """The target as run.json contains it; `read_target` reverses this."""

    @classmethod
    @abstractmethod
    def from_record(cls, record: TargetRecord) -> Self:
        """The target that `record` describes."""


class PytestTarget(Target):
    """A target whose copies are pytest sessions."""

    __slots__ = ()

    results = ResultSource.PYTEST

    def argv(self, *, python: str, pytest_args: Sequence[str], folder: Path | None, scratch: Path) -> tuple[str, ...]:
        pytest = (python, "-m", "pytest", "-p", "_parasuite_pytest", f"--basetemp={scratch / 'b'}")
        return (*pytest, *self._arguments(folder), *pytest_args)

    @abstractmethod
    def _arguments(self, folder: Path | None, /) -> tuple[str, ...]:
        """What to run, and how, as arguments of pytest. *folder*: as in `argv`."""


@dataclass(frozen=True, slots=True)
class Corpus(PytestTarget):
    """The bundled corpus. *folder*: that of the package converted_tests."""

    folder: Path

    kind = TargetKind.CORPUS
    interpreter = Interpreter.OWN
    needs = ("converted_tests", "netsupport", "hypothesis", "trustme")
    hint = _RUN_YOUR_OWN

    @classmethod
    def installed(cls) -> Corpus:
        """The corpus as it is installed beside parasuite. Raises ConfigError if it is not."""
        spec = importlib.util.find_spec("converted_tests")
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                f"the bundled corpus is not installed (pip install 'parasuite[corpus]'); {_RUN_YOUR_OWN}"
            )
        return cls(Path(spec.submodule_search_locations[0]))

    @property
    def description(self) -> str:
        return "the bundled corpus"

    def _arguments(self, _folder: Path | None, /) -> tuple[str, ...]:
        return ("-c", str(self.folder / "pytest.ini"), str(self.folder))

    def record(self) -> TargetRecord:
        return TargetRecord(self.kind, folder=str(self.folder))

    @classmethod
    def from_record(cls, record: TargetRecord) -> Corpus:
        return cls(Path(record.folder))


@dataclass(frozen=True, slots=True)
class PytestTree(PytestTarget):
    """A pytest tree, run in the user's folder with the user's configuration. *path*: as the user wrote it."""

    path: str

    kind = TargetKind.PYTEST
    interpreter = Interpreter.PROJECT

    @classmethod
    def at(cls, path: str, folder: str = "") -> PytestTree:
        """The tree at *path*, which may end in `::` and a test. Raises ConfigError if it cannot be read.

        *folder*: where the copies run, if not in the current folder.
        """
        file = os.path.join(folder, path.partition("::")[0])
        try:
            os.stat(file)
        except (FileNotFoundError, NotADirectoryError):
            hint = "" if folder else f"; if it is a command: parasuite run -- {shlex.quote(path)}"
            raise ConfigError(f"no such file or folder: {path}{hint}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        if not os.access(file, os.R_OK):
            raise ConfigError(f"{path} cannot be read: permission denied")
        return cls(path)

    @property
    def description(self) -> str:
        return f"pytest {self.path}"

    def _arguments(self, folder: Path | None, /) -> tuple[str, ...]:
        cache = () if folder is None else ("-o", f"cache_dir={folder / 'pytest-cache'}")
        return (*cache, self.path)

    def record(self) -> TargetRecord:
        return TargetRecord(self.kind, path=self.path)

    @classmethod
    def from_record(cls, record: TargetRecord) -> PytestTree:
        return cls(record.path)


@dataclass(frozen=True, slots=True)
class Command(Target):
    """Any command, in any language."""

    words: tuple[str, ...]

    kind = TargetKind.COMMAND
    results = ResultSource.COMMAND
    interpreter = Interpreter.NONE

    @classmethod
    def of(cls, words: Sequence[str], folder: str = "") -> Command:
        """The command of one or more *words*. Raises ConfigError if its program cannot be executed.

        *folder*: where the copies run, if not in the current folder.
        """
        program = words[0]
        file = os.path.join(folder, program) if os.path.dirname(program) else program
        if shutil.which(file) is not None:
            return cls(tuple(words))
        if os.path.dirname(program) and os.path.isfile(file):
            raise ConfigError(f"{program} is not executable: chmod +x {shlex.quote(program)}")
        raise ConfigError(f"no such command: {program}")

    @property
    def description(self) -> str:
        return shlex.join(self.words)

    @property
    def whole_copy(self) -> str:
        return Path(self.words[0]).name

    @property
    def tool(self) -> TestTool:
        """Known only where the command itself is `go test`, `cargo [+TOOLCHAIN] test` or `node --test`: a script that
        runs one of them may change what it prints.
        """
        program, *words = self.words
        match Path(program).stem, words:
            case TestTool.NODE, _ if "--test" in words:
                return TestTool.NODE
            case TestTool.GO, ["test", *_]:
                return TestTool.GO
            case TestTool.CARGO, ["test", *_]:
                return TestTool.CARGO
            case TestTool.CARGO, [toolchain, "test", *_] if toolchain.startswith("+"):
                return TestTool.CARGO
        return TestTool.NONE

    def argv(self, **_: object) -> tuple[str, ...]:
        return self.words

    def record(self) -> TargetRecord:
        return TargetRecord(self.kind, argv=self.words)

    @classmethod
    def from_record(cls, record: TargetRecord) -> Command:
        return cls(record.argv)


_TARGETS: dict[TargetKind, type[Target]] = {each.kind: each for each in (Corpus, PytestTree, Command)}


def choose_target(path: str | None, words: Sequence[str]) -> Target:
    """The target of `parasuite run PATH -- WORDS`. Raises ConfigError if it cannot be run.

    With a path, the words are arguments for pytest; without, they are a command; without both, it is the corpus.
    """
    if path is not None:
        return PytestTree.at(path)
    return Command.of(words) if words else Corpus.installed()


def read_target(record: TargetRecord) -> Target:
    """The target whose `record()` it is."""
    return _TARGETS[record.kind].from_record(record)
