"""Archives of run folders: packed, unpacked, and read however hostile or damaged they are."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parasuite.record.archives import BOUNDS, Bounds, pack, unpack

MANY = 1 << 30
SECRET = "outside"


def entries(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def archive_of(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            header = tarfile.TarInfo(member[0])
            header.size = len(member[1])
            archive.addfile(header, io.BytesIO(member[1]))
    return written.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


def unpacked(archive: bytes, target: Path, bounds: Bounds = BOUNDS) -> tuple[dict[str, bytes], list[str]]:
    problems = unpack(io.BytesIO(archive), target, "it", bounds)
    return entries(target), problems


def test_unpacking_undoes_packing(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "runs" / "copies").mkdir(parents=True)
    (source / "runs" / "run.json").write_bytes(b"{}")
    (source / "runs" / "copies" / "output.log").write_bytes(bytes(range(256)) * 1000)
    (source / "latest").symlink_to("runs")
    archive, left_out = pack(source, MANY)
    assert unpacked(archive, tmp_path / "target") == (entries(source), [])
    assert left_out == []


def test_what_a_merge_needs_is_packed_before_what_is_left_out_for_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(bytes(3000))
    (tmp_path / "run.json").write_bytes(b"{}")
    archive, left_out = pack(tmp_path, 2000)
    assert unpacked(archive, tmp_path / "target")[0] == {"run.json": b"{}"}
    assert left_out == ["a.log: 0 MiB"]


@pytest.mark.parametrize(
    "member",
    [
        (f"../{SECRET}", b"x"),
        (f"a/../../{SECRET}", b"x"),
        (f"/{SECRET}", b"x"),
        ("/".join("a" * 60), b"x"),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "good"),
        special("pipe", tarfile.FIFOTYPE),
        special("device", tarfile.CHRTYPE),
    ],
    ids=["above", "above after a folder", "absolute", "deep", "symbolic link", "hard link", "pipe", "device"],
)
def test_an_entry_that_could_lead_outside_is_left_out_and_named(
    member: tarfile.TarInfo | tuple[str, bytes], tmp_path: Path
) -> None:
    found, problems = unpacked(archive_of(member, ("good", b"x")), tmp_path / "target")
    assert (found, len(problems), entries(tmp_path)) == ({"good": b"x"}, 1, {"target/good": b"x"})
    assert problems[0].startswith("it: 1 of its entries are not unpacked, such as ")


def test_of_two_entries_with_one_name_the_first_is_kept(tmp_path: Path) -> None:
    found, problems = unpacked(archive_of(("a", b"1"), ("a", b"2"), ("a/b", b"3")), tmp_path / "target")
    assert (found, len(problems)) == ({"a": b"1"}, 1)


def test_a_file_cannot_be_written_through_a_link_that_came_before_it(tmp_path: Path) -> None:
    link = special("folder", tarfile.SYMTYPE, str(tmp_path))
    found, _ = unpacked(archive_of(link, (f"folder/{SECRET}", b"x")), tmp_path / "target")
    assert (found, (tmp_path / SECRET).exists()) == ({f"folder/{SECRET}": b"x"}, False)


@pytest.mark.parametrize("bounds", [Bounds(bytes_max=1500), Bounds(entries_max=1)], ids=["bytes", "entries"])
def test_unpacking_stops_at_its_bounds_and_keeps_what_came_before(bounds: Bounds, tmp_path: Path) -> None:
    found, problems = unpacked(archive_of(("a", bytes(1000)), ("b", bytes(1000))), tmp_path / "target", bounds)
    assert (list(found), len(problems)) == (["a"], 1)


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32

    def zeros() -> Iterator[bytes]:
        yield header.tobuf(tarfile.USTAR_FORMAT)
        yield from (bytes(1 << 20) for _ in range(4))

    _, problems = unpacked(gzip.compress(b"".join(zeros())), tmp_path / "target")
    assert problems == ["it is cut short or damaged: a header is larger than any that parasuite or tar writes; what "
                        "comes before that was read"]  # fmt: skip


CONTENT = {"first": b"1" * 600, "second": bytes(range(256)) * 40}
WHOLE = archive_of(*CONTENT.items())


@given(st.integers(0, len(WHOLE) - 1))
def test_an_archive_that_was_cut_short_is_read_up_to_there(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    found, problems = unpacked(WHOLE[:length], tmp_path_factory.mktemp("cut") / "target")
    assert all(CONTENT[name].startswith(content) for name, content in found.items())
    assert problems or found == CONTENT


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_archive_raises_nothing_and_writes_nothing_outside(
    tmp_path_factory: pytest.TempPathFactory, at: int, change: int
) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] ^= change
    folder = tmp_path_factory.mktemp("damaged")
    unpacked(bytes(damaged), folder / "target")
    assert [path.name for path in folder.iterdir()] == ["target"]
