"""The pattern of `--collect-junit` means what it means to glob.glob."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.run.collect_junit import Collected, collect, matches

PARTS = ["a", "b", ".c", "*", "**", "[ab]", "?", ".*", "a*"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in ("a/a/b", "a/b/a", "b/.c/a", ".c/b"):
        (root / name).mkdir(parents=True)
        (root / name / "ab").touch()
    (root / "b" / "link").symlink_to("../a")
    return root


@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=3))
def test_a_pattern_matches_the_files_that_glob_finds(tree: Path, parts: list[str]) -> None:
    pattern = "/".join(parts)
    expected = {
        os.path.realpath(tree / name)
        for name in glob.glob(pattern, root_dir=tree, recursive=True, include_hidden=True)
        if os.path.isfile(tree / name)
    }
    found = {os.path.realpath(path) for path in matches(pattern, tree) if os.path.isfile(path)}
    assert found == expected


def test_a_link_in_place_of_the_collected_folder_is_not_followed(tmp_path: Path) -> None:
    for name in ("run", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "collected").symlink_to(tmp_path / "outside")
    (tmp_path / "j.xml").write_text("<testsuite/>")
    collected = collect(["j.xml"], tmp_path, tmp_path / "run", 0.0, lambda: False)
    assert collected == Collected([[]], ["collected is a link, not a folder"])
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_walk_stops_when_asked_to(tree: Path) -> None:
    assert matches("**/ab", tree, lambda: True) == set()
