"""What may lie in the place of a file of a run folder; imported by suites that put it there, too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def a_folder(path: Path) -> None:
    path.mkdir()


def a_link_to_an_endless_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def nothing(path: Path) -> None:
    path.touch()


def one_hole_of_a_terabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def one_line_without_an_end(path: Path) -> None:
    path.write_bytes(b"x" * (5 << 20))


def random_bytes(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 1000)


def deep_json(path: Path) -> None:
    path.write_bytes(b"[" * 200_000 + b"\n")


def deep_xml(path: Path) -> None:
    path.write_bytes(b"<testsuite>" * 200_000)


KINDS: list[Callable[[Path], None]] = [
    os.mkfifo,
    a_folder,
    a_link_to_an_endless_device,
    a_link_to_itself,
    nothing,
    one_hole_of_a_terabyte,
    one_line_without_an_end,
    random_bytes,
    deep_json,
    deep_xml,
]


def replace(path: Path, kind: Callable[[Path], None]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True, parents=True)
    kind(path)
