#!/usr/bin/env python3
"""Break a stdlib module on purpose, one small fault at a time, and count how many faults its tests notice.

Usage, from the repository's root: python converted_tests/benchmarks/mutants.py MODULE [options]

A copy of MODULE, first on PYTHONPATH of the tests' process, shadows the module itself (for http.client the
whole package `http` is copied). First an instrumented copy records which statements the tests run; only those
are mutated. Then the untouched copy must pass. Then each drawn mutant is run against the tests with `-x`;
a failing test, an interpreter that cannot start and a hang all count as killed. Mutants are drawn by seed:
the same seed, number of mutants, module and tests give the same mutants.

Not mutated: docstrings, annotations, f-strings (CPython 3.11 does not record where their parts are), __version__.

Survivors are printed to stdout with line, operator, before and after; progress to stderr. Exit status: 0 the goal
was reached, 1 it was not, 2 the tests fail without a mutant or the arguments make no sense.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "converted_tests"
ALSO_TESTED_BY = {"ssl": ["socket_ssl"]}
"""Modules that a second part of the corpus tests too."""

TIMEOUT_SCALE = "0.3"
"""For CORPUS_TIMEOUT_SCALE: a mutant that loses a line makes both sides wait for the safety net, 3 s here, not 10."""

MEMORY_BYTES = 4 << 30
"""A mutant may loop and collect without end; above this it dies of MemoryError instead of the machine."""

_LIMITED = (
    "import os, resource, sys; "
    f"resource.setrlimit(resource.RLIMIT_AS, ({MEMORY_BYTES}, {MEMORY_BYTES})); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)

Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: *replacement* in place of the bytes [start, end) of the module's source."""

    operator: str
    line: int
    start: int
    end: int
    replacement: bytes
    statement: Position


# --- which faults there are ---------------------------------------------------------------------------

_SWAPPED_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SWAPPED_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


def _constant_faults(node: ast.Constant) -> Iterator[tuple[str, ast.expr]]:
    value = node.value
    if isinstance(value, bool):
        yield "bool", ast.Constant(not value)
    elif isinstance(value, int):
        yield "integer", ast.Constant(value + 1)
        if value > 0:
            yield "integer", ast.Constant(value - 1)
    elif isinstance(value, str):
        yield "string", ast.Constant(value + "x")
    elif isinstance(value, bytes):
        yield "string", ast.Constant(value + b"x")


def _expression_faults(node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Constant():
            yield from _constant_faults(node)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for index, operator in enumerate(ops):
                swapped = [*ops[:index], _SWAPPED_COMPARISON[type(operator)](), *ops[index + 1 :]]
                yield "comparison", ast.Compare(left, swapped, comparators)
        case ast.BoolOp(op=op, values=values):
            yield "and/or", ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SWAPPED_ARITHMETIC:
            # Text has no minus: such a mutant dies of TypeError and shows nothing about the tests.
            if not (_is_text(left) or _is_text(right)):
                yield "arithmetic", ast.BinOp(left, _SWAPPED_ARITHMETIC[type(op)](), right)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "unary", operand
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield "condition", ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)


def _statement_faults(node: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    match node:
        case ast.Expr(value=ast.Call()):
            yield "call dropped", ast.Pass()
        case ast.AugAssign(target=target, op=op, value=value):
            yield "assignment dropped", ast.Pass()
            if type(op) in _SWAPPED_ARITHMETIC and not _is_text(value):
                yield "arithmetic", ast.AugAssign(target, _SWAPPED_ARITHMETIC[type(op)](), value)
        case ast.Delete():
            yield "del dropped", ast.Pass()
        case ast.Raise():
            yield "raise dropped", ast.Pass()
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "return", ast.Return(ast.Constant(None))
        case ast.Break():
            yield "break/continue", ast.Continue()
        case ast.Continue():
            yield "break/continue", ast.Break()


def _is_docstring_or_metadata(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id="__version__" | "__author__" | "__slots__")]):
            return True
    return False


class Faults:
    """Every fault that the operators find in *source*."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._line_starts = [0]
        for line in source.splitlines(keepends=True):
            self._line_starts.append(self._line_starts[-1] + len(line))

    def all(self) -> list[Mutant]:
        """In order of the source."""
        return [mutant for node in ast.parse(self._source).body for mutant in self._in_statement(node)]

    def _cut(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._line_starts[node.lineno - 1] + node.col_offset
        return start, self._line_starts[node.end_lineno - 1] + node.end_col_offset

    def _mutant(self, operator: str, node: ast.expr | ast.stmt, new: ast.AST, statement: ast.stmt) -> Mutant:
        start, end = self._cut(node)
        text = ast.unparse(ast.fix_missing_locations(copy.deepcopy(new)))
        if isinstance(new, ast.expr) and not isinstance(new, ast.Constant | ast.Name):
            text = f"({text})"
        return Mutant(operator, node.lineno, start, end, text.encode(), (statement.lineno, statement.col_offset))

    def _in_statement(self, statement: ast.stmt) -> Iterator[Mutant]:
        if _is_docstring_or_metadata(statement):
            return
        for operator, new in _statement_faults(statement):
            yield self._mutant(operator, statement, new, statement)
        if isinstance(statement, ast.If | ast.While):
            negated = ast.UnaryOp(ast.Not(), statement.test)
            yield self._mutant("condition", statement.test, negated, statement)
        for child in ast.iter_child_nodes(statement):
            yield from self._below(child, statement)

    def _below(self, node: ast.AST, statement: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.stmt():
                yield from self._in_statement(node)
                return
            case ast.JoinedStr():
                return
            case ast.expr():
                for operator, new in _expression_faults(node):
                    yield self._mutant(operator, node, new, statement)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from self._below(child, statement)


def mutated(source: bytes, mutant: Mutant) -> bytes:
    """*source* with this one fault in it."""
    return source[: mutant.start] + mutant.replacement + source[mutant.end :]


def is_another_program(source: bytes, mutant: Mutant) -> bool:
    """Whether *source* with the fault compiles, and not to the program that it was."""
    broken = mutated(source, mutant)
    try:
        compile(broken, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return ast.dump(ast.parse(broken)) != ast.dump(ast.parse(source))


def description(source: bytes, mutant: Mutant) -> str:
    """`before -> after`, each the whole lines that the fault touches, on one line."""
    first = source.rfind(b"\n", 0, mutant.start) + 1
    last = source.find(b"\n", mutant.end)
    before = source[first : last if last >= 0 else None]
    after = source[first : mutant.start] + mutant.replacement + source[mutant.end : last if last >= 0 else None]
    return " -> ".join(" ".join(text.decode().split()) for text in (before, after))


# --- which statements the tests run -------------------------------------------------------------------

_RECORDER = """
def __ran__(where, _seen=set(), _open=__import__("os").open, _write=__import__("os").write,
            _close=__import__("os").close, _path={path!r}, _flags={flags}):
    if where not in _seen:
        _seen.add(where)
        descriptor = _open(_path, _flags, 0o600)
        _write(descriptor, where.encode())
        _close(descriptor)
"""


def instrumented(source: bytes, record: Path) -> bytes:
    """*source* with a note to the file *record* before each statement when it runs for the first time.

    Unlike a tracer it sees other threads, forked children and a module that is imported at start-up.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, list(_noted(statements)))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    recorder = ast.parse(_RECORDER.format(path=str(record), flags=flags)).body
    at = next(i for i, node in enumerate(tree.body) if _is_note(node))
    tree.body[at:at] = recorder
    return ast.unparse(ast.fix_missing_locations(tree)).encode()


def _is_note(node: ast.stmt) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Name(id="__ran__"))):
            return True
    return False


def _noted(statements: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in statements:
        is_future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not (is_future or _is_docstring_or_metadata(statement)):
            where = ast.Constant(f"{statement.lineno} {statement.col_offset}\n")
            yield ast.Expr(ast.Call(ast.Name("__ran__", ast.Load()), [where], []))
        yield statement


def statements_run(record: Path) -> set[Position]:
    """What an instrumented copy noted in *record*; empty if it was never imported."""
    if not record.exists():
        return set()
    pairs = (line.split() for line in record.read_text().splitlines())
    return {(int(line), int(column)) for line, column in pairs}


# --- running the tests against a copy -----------------------------------------------------------------


class Shadow:
    """Runs the tests of *module* with another text in its place."""

    def __init__(self, module: str, tests: Sequence[str]) -> None:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            raise SystemExit(f"mutants: {module} is not a module with Python source")
        self.module = module
        self.origin = Path(spec.origin)
        self.source = self.origin.read_bytes()
        self._tests = list(tests)

    def place(self, folder: Path, text: bytes) -> None:
        """Write *text* as the module into *folder*; a module in a package brings the package along."""
        *packages, name = self.module.split(".")
        target = folder
        if packages:
            target = folder.joinpath(*packages)
            shutil.copytree(self.origin.parent, target, ignore=shutil.ignore_patterns("__pycache__"))
        (target / f"{name}.py").write_bytes(text)

    def environment(self, folder: Path) -> dict[str, str]:
        """The tests' environment: *folder* comes before the standard library, for grandchildren too."""
        old = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(folder), *([old] if old else [])])
        return {**os.environ, "PYTHONPATH": path, "CORPUS_TIMEOUT_SCALE": TIMEOUT_SCALE}

    def is_imported(self) -> bool:
        """Whether `import module` in the tests' environment takes the copy that was placed."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
            folder = Path(scratch).resolve()
            self.place(folder, self.source)
            command = [sys.executable, "-c", f"import {self.module} as module; print(module.__file__)"]
            done = subprocess.run(command, cwd=ROOT, env=self.environment(folder), stdout=subprocess.PIPE, text=True)
            return done.returncode == 0 and folder in Path(done.stdout.strip()).resolve().parents

    def tests_pass(self, text: bytes, timeout_s: float, *, show: bool = False) -> bool:
        """Whether the tests pass against *text* within *timeout_s*."""
        command = [sys.executable, "-I", "-c", _LIMITED, sys.executable, "-m", "pytest", "-x", "-q"]
        command += ["-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short", *self._tests]
        with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
            folder = Path(scratch, "shadow")
            folder.mkdir()
            self.place(folder, text)
            output = sys.stderr if show else subprocess.DEVNULL
            # A session of its own, so that a hang is ended together with the processes it started.
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.environment(folder), "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                return process.wait(timeout_s) == 0
            except subprocess.TimeoutExpired:
                return False
            finally:
                _end_session(process)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# --- drawing ------------------------------------------------------------------------------------------


def drawn(source: bytes, candidates: Sequence[Mutant], seeds: Sequence[int], mutants_max: int) -> list[Mutant]:
    """*mutants_max* of *candidates* in all, the same for the same seeds, at most one per statement and seed.

    A statement is drawn first and then one of its faults, so a line full of constants weighs no more than
    another. A mutant that two seeds draw counts once.
    """
    by_statement: dict[Position, list[Mutant]] = {}
    for candidate in candidates:
        by_statement.setdefault(candidate.statement, []).append(candidate)
    chosen: dict[Mutant, None] = {}
    for index, seed in enumerate(seeds):
        share = mutants_max // len(seeds) + (index < mutants_max % len(seeds))
        generator = random.Random(seed)
        statements = generator.sample(sorted(by_statement), min(share, len(by_statement)))
        for statement in statements:
            faults = generator.sample(by_statement[statement], len(by_statement[statement]))
            chosen.update(dict.fromkeys([fault for fault in faults if is_another_program(source, fault)][:1]))
    return sorted(chosen, key=lambda mutant: mutant.start)


def _default_tests(module: str) -> list[str]:
    names = [module.replace(".", "_"), *ALSO_TESTED_BY.get(module, [])]
    places = [CORPUS / f"test_{name}{ending}" for name in names for ending in ("", ".py")]
    found = [str(place.relative_to(ROOT)) for place in places if place.exists()]
    if not found:
        raise SystemExit(f"mutants: no tests of {module} in {CORPUS}; name them with --tests")
    return found


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", help="as it is imported: smtplib, http.client")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="default: 1 2 3")
    parser.add_argument("--mutants", type=int, default=40, help="in all, shared over the seeds; default: 40")
    parser.add_argument("--tests", nargs="+", default=None, help="what pytest runs; default: the module's own tests")
    parser.add_argument("--goal", type=float, default=85.0, metavar="PERCENT", help="killed at least; default: 85")
    parser.add_argument("--list", action="store_true", help="draw and print the mutants, run none")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="mutants run at once; default: 1")
    arguments = parser.parse_args()
    if arguments.mutants < 1 or arguments.jobs < 1:
        parser.error("--mutants and --jobs are at least 1")
    return arguments


def main() -> int:
    """Draw, run, report."""
    arguments = _arguments()
    shadow = Shadow(arguments.module, arguments.tests or _default_tests(arguments.module))
    source = shadow.source
    if not shadow.is_imported():
        _tell(f"mutants: a copy of {shadow.module} on PYTHONPATH does not take its place")
        return 2

    with tempfile.TemporaryDirectory(prefix="mutants-record-") as scratch:
        record = Path(scratch, "statements")
        passed = shadow.tests_pass(instrumented(source, record), 600, show=True)
        live = statements_run(record)
    if not passed or not live:
        _tell(f"mutants: the tests fail against the instrumented copy of {shadow.module}, or never import it")
        return 2
    candidates = [mutant for mutant in Faults(source).all() if mutant.statement in live]
    chosen = drawn(source, candidates, arguments.seeds, arguments.mutants)
    _tell(f"{len(candidates)} mutants of {len(live)} statements that run; seeds {arguments.seeds}: {len(chosen)}")

    def line(mutant: Mutant) -> str:
        return f"{shadow.origin.name}:{mutant.line} [{mutant.operator}] {description(source, mutant)}"

    if arguments.list:
        for mutant in chosen:
            print(line(mutant))
        return 0

    began_s = time.monotonic()
    if not shadow.tests_pass(source, 600, show=True):
        _tell(f"mutants: the tests fail against an untouched copy of {shadow.module}")
        return 2
    limit_s = 5 * (time.monotonic() - began_s) + 20

    def survives(mutant: Mutant) -> bool:
        alive = shadow.tests_pass(mutated(source, mutant), limit_s)
        _tell(f"{'SURVIVED' if alive else 'killed'}  {line(mutant)}")
        return alive

    with ThreadPoolExecutor(arguments.jobs) as pool:
        survivors = [mutant for mutant, alive in zip(chosen, pool.map(survives, chosen), strict=True) if alive]
    for mutant in survivors:
        print(line(mutant))
    killed = len(chosen) - len(survivors)
    percent = 100 * killed / len(chosen)
    seeds = " ".join(map(str, arguments.seeds))
    print(f"{shadow.module}: {killed} of {len(chosen)} mutants killed, {percent:.1f} % (seeds {seeds})")
    return 0 if percent >= arguments.goal else 1


if __name__ == "__main__":
    sys.exit(main())
