"""The pages of a copy's processes as a hostile copy may leave them: none of them stops the supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the exact sensors are Linux only", allow_module_level=True)

from parasuite.model.events import Bind
from parasuite.sensors.recorder import _parasuite_page as layout
from parasuite.sensors.seccomp import pages

from runner.tests.recording import RECORDER
from runner.tests.tracing import Tracer, python, tracer

BIND = 's = socket.socket(); s.bind(("127.0.0.1", 0)); s.close()\n'
# What a process does to its page, at *page*, before it binds.
HOSTILE = {
    "a FIFO": "os.mkfifo(page)",
    "a link to an endless device": 'os.symlink("/dev/zero", page)',
    "a link to a FIFO": 'os.mkfifo(page + ".fifo"); os.symlink(page + ".fifo", page)',
    "a folder": "os.mkdir(page)",
    "a socket": "os.mknod(page, stat.S_IFSOCK | 0o600)",
    "an empty file": 'open(page, "w").close()',
    "a huge file": 'open(page, "w").truncate(1 << 40)',
    "a page that is too long": 'shutil.copy(made, page); open(page, "a").write("x")',
    "a link to a page": "os.symlink(made, page)",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pages"
    made.mkdir()
    return made


def start(made: Tracer, folder: Path, code: str) -> None:
    """Start a Python, without a recorder, that knows its own *page* and a genuine one, *made*."""
    genuine = folder.parent / "made"
    os.makedirs(genuine, exist_ok=True)
    head = f"""
        import fcntl, os, shutil, socket, stat, sys
        sys.path.insert(0, {str(Path(layout.__file__).parent)!r})
        import _parasuite_page as layout
        page = {str(folder)!r} + "/" + str(os.getpid())
        written = layout.Page({str(genuine)!r})
        written.publish(os.getpid(), layout.BIND, 3, "a test", "a line", layout.BY_THREAD)
        made = {str(genuine)!r} + "/" + str(os.getpid())
        """
    made.start(python(textwrap.dedent(head) + textwrap.dedent(code)))


def lines(made: Tracer) -> list[str]:
    return [str(event.caller.location or "") for event in made.events if isinstance(event, Bind)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_a_page_is_not_read_and_delays_no_call(folder: Path, name: str) -> None:
    with tracer({0: str(folder)}) as made:
        start(made, folder, HOSTILE[name] + "\n" + BIND)
        assert made.run() == [0]
        assert (made.watch.failure, lines(made)) == ("", [""])


def test_a_page_is_read(folder: Path) -> None:
    with tracer({0: str(folder)}) as made:
        start(made, folder, "os.rename(made, page)\n" + BIND)
        assert made.run() == [0]
        assert lines(made) == ["a line"]


def test_a_page_has_as_many_of_the_innermost_frames_as_fit_beside_a_long_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(RECORDER)
    frames = [f"{'long/' * 15}{number}.py:{number}:function" for number in range(1, 6)]
    written = layout.Page(str(tmp_path))
    test, fixture = "t" * 2 * layout.TEST_MAX, "session:database"
    written.publish(os.getpid(), layout.BIND, 3, test, "\n".join(frames), layout.BY_THREAD, fixture)
    page = pages.Folder(str(tmp_path)).open_page(os.getpid(), layout.start_ticks(os.getpid()))
    assert page is not None
    attribution = page.attribution_of(os.getpid(), layout.BIND, 3)
    page.close()
    assert [str(frame) for frame in attribution.frames] == frames[:3]
    assert (len(attribution.test), str(attribution.fixture)) == (layout.TEST_MAX, fixture)


def test_a_page_that_is_cut_short_after_it_was_read_is_no_longer_used(folder: Path) -> None:
    with tracer({0: str(folder)}) as made:
        start(made, folder, "os.rename(made, page)\n" + BIND + "os.truncate(page, 100)\n" + BIND)
        assert made.run() == [0]
        assert (made.watch.failure, lines(made)) == ("", ["a line", ""])


def test_a_thread_beyond_the_first_slots_is_found_until_the_page_is_cut_short(folder: Path) -> None:
    publish = 'written.publish({tid}, layout.BIND, 3, "", "line {tid}", layout.BY_THREAD)\n'
    others = "".join(publish.format(tid=tid) for tid in range(1, 6))
    own = publish.format(tid=0).replace("(0,", "(os.getpid(),").replace("line 0", "own")
    with tracer({0: str(folder)}) as made:
        code = "written = layout.Page(os.path.dirname(page))\n" + others + own + BIND
        start(made, folder, code + "os.truncate(page, 3000)\n" + BIND)
        assert made.run() == [0]
        assert (made.watch.failure, lines(made)) == ("", ["own", ""])


def test_a_page_that_its_writer_has_leased_is_not_waited_for(folder: Path) -> None:
    # fcntl(2): an open that breaks a lease waits for its holder, unless it asks not to.
    lease = "shutil.copy(made, page); held = open(page, 'r+b'); fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
    ignored = "import signal; signal.signal(signal.SIGIO, signal.SIG_IGN)\n"
    with tracer({0: str(folder)}) as made:
        start(made, folder, ignored + lease + BIND)
        assert made.run() == [0]
        assert lines(made) == [""]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_page_of_another_user_is_not_read(folder: Path) -> None:
    with tracer({0: str(folder)}) as made:
        start(made, folder, "os.rename(made, page); os.chown(page, 65534, 65534)\n" + BIND)
        assert made.run() == [0]
        assert lines(made) == [""]


def test_a_folder_of_pages_that_is_moved_away_is_still_read(folder: Path) -> None:
    away = "os.rename(made, page); os.rename(os.path.dirname(page), made + '.away')\n"
    with tracer({0: str(folder)}) as made:
        start(made, folder, away + "os.symlink('/dev', os.path.dirname(page))\n" + BIND)
        assert made.run() == [0]
        assert lines(made) == ["a line"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
def test_a_page_that_is_a_mount_is_not_read(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(RECORDER)
    layout.Page(str(tmp_path))
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(pages.__file__).parents[3])!r})
        from parasuite.sensors import proc
        from parasuite.sensors.seccomp.pages import Folder
        pid, ticks = {os.getpid()}, {layout.start_ticks(os.getpid())}
        print(Folder({str(tmp_path)!r}).open_page(pid, ticks) is None, Folder({str(folder)!r}).open_page(pid, ticks))
        """
    page = folder / str(os.getpid())
    page.touch()
    mount = f"mount --bind {tmp_path}/{page.name} {page} && "
    command = ["unshare", "-m", "sh", "-c", mount + '"$@" && :', "sh", *python(textwrap.dedent(code))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"mounts are refused here: {done.stderr}")
    assert (done.stdout, done.stderr) == ("False None\n", "")
