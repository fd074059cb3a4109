"""The recorder does not change what the program under test sees, and where it fails the run learns of it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from parasuite.model.events import Bind, Event, ProcessSeen, SensorState
from parasuite.record.recorder_files import REASON_LOST, recorded
from parasuite.record.tally import tally_of

from netsupport.tests import real_tools
from runner.tests.conftest import Parasuite
from runner.tests.recording import PATIENCE_S, RECORDER, SUITE_HEAD, binds, environment, record

AT_EVERY_STEP = """
seen = set()
def trace(frame, event, argument):
    if "_parasuite_" not in frame.f_code.co_filename:
        return None
    frame.f_trace_opcodes = True
    step = (frame.f_code, frame.f_lasti)
    if event in ("line", "opcode") and step not in seen:
        seen.add(step)
        interrupt()
    return trace
def listen():
    socket.create_server(("127.0.0.1", 0)).close()
"""


# Runs a program in a mount namespace of its own, where the copy's folder is a disk with little room; gives back what
# then lies in the folder of the recorders. 77: no such namespace can be made here.
ON_A_SMALL_DISK = """
import ctypes, os, shutil, subprocess, sys
folder, kept, program, room = sys.argv[1:]
libc = ctypes.CDLL(None)
maps = {"uid_map": f"0 {os.getuid()} 1", "setgroups": "deny", "gid_map": f"0 {os.getgid()} 1"}
NEW_USER, NEW_MOUNTS = 0x10000000, 0x20000
if libc.unshare(NEW_USER | NEW_MOUNTS):
    sys.exit(77)
for name, text in maps.items():
    with open(f"/proc/self/{name}", "w") as stream:
        stream.write(text)
if libc.mount(b"none", folder.encode(), b"tmpfs", 0, b"size=256k"):
    sys.exit(77)
for name in ("pages", "recorder"):
    os.mkdir(os.path.join(folder, name))
try:
    with open(os.path.join(folder, "full"), "wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
except OSError:
    pass
full = os.path.join(folder, "full")
os.truncate(full, os.path.getsize(full) - int(room))
done = subprocess.run([sys.executable, program])
shutil.copytree(os.path.join(folder, "recorder"), kept)
sys.exit(done.returncode)
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")


def python_of(version: str) -> str:
    """The Python of that version; the test is skipped where there is none."""
    return real_tools.program(f"python{version}", "-c", "")


def run(
    tmp_path: Path, code: str, mode: str = "events", *flags: str, python: str = sys.executable, results: bool = False
) -> subprocess.CompletedProcess[str]:
    """One Python that runs *code* under the recorder; its events are for *recorded*. *results*: it is a command's."""
    (tmp_path / "suite.py").write_text(SUITE_HEAD + textwrap.dedent(code))
    return subprocess.run(
        [python, *flags, "suite.py"],
        cwd=tmp_path,
        env=environment(tmp_path / "copy", mode) | ({"PARASUITE_RESULTS": str(tmp_path / "copy")} if results else {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def all_recorded(tmp_path: Path) -> list[Event]:
    return list(recorded(tmp_path / "copy"))


def failures(tmp_path: Path) -> list[tuple[str, str]]:
    """The states that the recorders told, and why, without the process."""
    states = [event for event in all_recorded(tmp_path) if isinstance(event, SensorState)]
    return [(state.state, state.why.partition(": ")[2]) for state in states]


@pytest.mark.parametrize(
    "interrupt", ["listen()", "thread = threading.Thread(target=listen); thread.start(); thread.join()"]
)
def test_sockets_may_be_used_at_any_step_of_the_recorders_work(tmp_path: Path, interrupt: str) -> None:
    code = f"""
def interrupt():
    {interrupt}
sys.settrace(trace)
listen()
sys.settrace(None)
assert len(seen) > 10
open("done", "w").write(str(len(seen) + 1))
"""
    events = record(tmp_path, AT_EVERY_STEP + code)
    assert len(binds(events)) == int((tmp_path / "done").read_text())
    assert len([event for event in events if isinstance(event, ProcessSeen)]) == 1
    assert failures(tmp_path) == []


def test_a_test_with_a_long_name_is_written_down(tmp_path: Path) -> None:
    code = """
        class Long(unittest.TestCase):
            def id(self):
                return "\\U0001f40d" * 100_000 + "end"
            def runTest(self):
                socket.create_server(("127.0.0.1", 0)).close()
        Long().run()
        """
    (bind,) = binds(record(tmp_path, code))
    assert bind.caller.test.endswith("\U0001f40dend")
    assert failures(tmp_path) == []


def test_threads_may_use_sockets_at_any_step_of_publishing(tmp_path: Path) -> None:
    code = """
def interrupt():
    thread = threading.Thread(target=listen); thread.start(); thread.join()
sys.settrace(trace)
listen()
assert len(seen) > 10
"""
    assert run(tmp_path, AT_EVERY_STEP + code, "pages").stderr == ""
    assert failures(tmp_path) == []


@pytest.mark.parametrize("mode", ["events", "pages"])
def test_an_exception_of_a_signal_handler_amid_the_recorders_work_is_the_programs(tmp_path: Path, mode: str) -> None:
    code = """
class Alarm(Exception):
    pass
raised = caught = 0
def interrupt():
    global raised
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != "__get__":
        frame = frame.f_back
    if frame is None:  # What is raised in a finalizer is never seen.
        raised += 1
        raise Alarm
while True:
    before = raised
    try:
        sys.settrace(trace)
        listen()
    except Alarm:
        caught += 1
    finally:
        sys.settrace(None)
    if raised == before:
        break
assert 10 < raised == caught, (raised, caught)
"""
    assert run(tmp_path, AT_EVERY_STEP + code, mode).stderr == ""


@pytest.mark.parametrize("mode", ["events", "pages"])
def test_an_error_of_the_recorder_is_told_to_the_run_and_not_to_the_program(tmp_path: Path, mode: str) -> None:
    code = """
        kept, os.environ = os.environ, None
        socket.create_server(("127.0.0.1", 0)).close()
        socket.create_server(("127.0.0.1", 0)).close()
        os.environ = kept
        """
    done = run(tmp_path, code, mode)
    assert (done.returncode, done.stderr) == (0, "")
    why = "AttributeError: 'NoneType' object has no attribute 'get'"
    assert failures(tmp_path) == [("blind" if mode == "events" else "partial", why)]


def test_a_port_may_be_of_any_class_that_has_an_index(tmp_path: Path) -> None:
    code = """
        class Port:
            def __index__(self):
                return 0
        class Number(int):
            def __index__(self):
                return self
        for port in (Port(), Number(0), False):
            s = socket.socket(); s.bind(("127.0.0.1", port))
            c = socket.socket(type=socket.SOCK_DGRAM); c.connect(("127.0.0.1", Number(s.getsockname()[1])))
        """
    asked = [bind.asked.port for bind in binds(record(tmp_path, code))]
    assert (asked, {type(port) for port in asked}) == ([0, 0, 0], {int})
    assert failures(tmp_path) == []


def test_a_socket_class_of_the_programs_own_is_not_asked(tmp_path: Path) -> None:
    code = """
        class Odd(socket.socket):
            family = type = proto = property(lambda self: 1 / 0)
            def fileno(self):
                return 1 / 0
        s = Odd(); s.bind(("127.0.0.1", 0)); s.listen(); s.close()
        """
    assert len(binds(record(tmp_path, code))) == 1
    assert failures(tmp_path) == []


def test_a_working_folder_that_has_been_removed_disturbs_nobody(tmp_path: Path) -> None:
    code = """
        if "here" in sys.argv:
            raise SystemExit(socket.create_server(("127.0.0.1", 0)).close())
        itself = os.path.abspath(__file__)
        os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
        socket.create_server(("127.0.0.1", 0)).close()
        s = socket.socket(socket.AF_UNIX)
        try:
            s.bind("here")
        except FileNotFoundError:
            pass
        subprocess.run([sys.executable, itself, "here"], check=True)
        """
    assert [bind.asked.address for bind in binds(record(tmp_path, code))] == ["127.0.0.1", "here", "127.0.0.1"]
    assert failures(tmp_path) == []


def run_on_a_small_disk(tmp_path: Path, code: str, mode: str, room: int) -> subprocess.CompletedProcess[str]:
    """As *run*, with *room* bytes for all that the recorder writes."""
    (tmp_path / "suite.py").write_text(SUITE_HEAD + textwrap.dedent(code))
    (tmp_path / "disk").mkdir()
    arguments = [str(tmp_path / "disk"), str(tmp_path / "copy" / "recorder"), "suite.py", str(room)]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ON_A_SMALL_DISK, *arguments],
        cwd=tmp_path,
        env={**environment(tmp_path / "unused", mode), "PARASUITE_RECORDER": f"{mode} 3 {tmp_path / 'disk'}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    if done.returncode == 77:
        pytest.skip("no mount namespace can be made here")
    return done


@on_linux
@pytest.mark.parametrize("mode", ["events", "pages"])
def test_a_full_disk_takes_the_events_and_not_the_program(tmp_path: Path, mode: str) -> None:
    done = run_on_a_small_disk(tmp_path, 'socket.create_server(("127.0.0.1", 0)).close()', mode, room=0)
    assert (done.returncode, done.stderr) == (0, "")
    told = [("blind", REASON_LOST)] if mode == "events" else []
    assert failures(tmp_path) == told


@on_linux
@pytest.mark.parametrize(("mode", "room"), [("events", 64 << 10), ("pages", 16 << 10)])
def test_a_disk_that_fills_up_does_not_take_the_program(tmp_path: Path, mode: str, room: int) -> None:
    code = """
        together = threading.Barrier(80)
        def bind():
            for _ in range(10):
                socket.create_server(("127.0.0.1", 0)).close()
            together.wait()
        threads = [threading.Thread(target=bind) for _ in range(80)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    done = run_on_a_small_disk(tmp_path, code, mode, room)
    assert (done.returncode, done.stderr) == (0, "")
    assert [state for state, _ in failures(tmp_path)] == (["blind"] if mode == "events" else [])


def test_what_the_program_opens_after_it_closed_every_descriptor_stays_its_own(tmp_path: Path) -> None:
    code = """
        os.closerange(3, 256)
        kept = [socket.socket() for _ in range(8)]
        for _ in range(1500):
            socket.create_server(("127.0.0.1", 0)).close()
        if os.fork() == 0:
            assert [os.fstat(sock.fileno()).st_ino for sock in kept]
            os._exit(0)
        assert os.wait()[1] == 0
        assert [os.fstat(sock.fileno()).st_ino for sock in kept]
        """
    assert run(tmp_path, code).stderr == ""
    assert len(list((tmp_path / "copy" / "recorder").iterdir())) > 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the map of a Python before 3.13 has a descriptor")
@pytest.mark.parametrize("mode", ["events", "pages"])
@pytest.mark.parametrize("version", ["3.9", "3.10", "3.11", "3.12", "3.13"])
def test_the_recorder_leaves_no_descriptor_open(tmp_path: Path, version: str, mode: str) -> None:
    python = python_of(version)
    code = """
        for _ in range(200):  # More events than the first file of a log takes.
            socket.create_server(("127.0.0.1", 0)).close()
        descriptors = "import os; print(sorted(os.listdir('/proc/self/fd')), flush=True)"
        exec(descriptors)
        if os.fork() == 0:
            socket.create_server(("127.0.0.1", 0)).close()
            exec(descriptors)
            os._exit(0)
        os.wait()
        subprocess.run([sys.executable, "-c", descriptors], check=True)
        """
    recorded_one = run(tmp_path, code, mode, python=python)
    assert recorded_one.returncode == 0, recorded_one.stderr
    plain = subprocess.run([python, "-S", "suite.py"], cwd=tmp_path, capture_output=True, text=True)
    assert recorded_one.stdout == plain.stdout


def test_a_process_without_a_page_writes_its_events_and_not_into_its_parents(tmp_path: Path) -> None:
    code = """
        import shutil
        shutil.rmtree(os.path.join(os.environ["PARASUITE_COPY_DIR"], "pages"))
        command = "import socket; socket.create_server(('127.0.0.1', 0)).close()"
        socket.create_server(("127.0.0.1", 0)).close()
        if os.fork() == 0:
            socket.create_server(("127.0.0.1", 0)).close()
            os._exit(0)
        os.wait()
        subprocess.run([sys.executable, "-c", command], check=True)
        """
    assert len({bind.caller.process.pid for bind in binds(record(tmp_path, code))}) == 3


def test_an_interpreter_within_the_process_leaves_it_its_page(tmp_path: Path) -> None:
    code = """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        page = os.path.join(os.environ["PARASUITE_COPY_DIR"], "pages", str(os.getpid()))
        before = os.stat(page).st_ino
        other = interpreters.create()
        interpreters.run_string(other, "import sitecustomize, socket; socket.create_server(('127.0.0.1', 0)).close()")
        interpreters.destroy(other)
        assert os.stat(page).st_ino == before
        """
    assert len(binds(record(tmp_path, code))) == 1


def test_the_page_of_before_an_exec_is_void_for_who_still_reads_it(tmp_path: Path) -> None:
    code = """
        page = os.path.join(os.environ["PARASUITE_COPY_DIR"], "pages", str(os.getpid()))
        now = os.open(page, os.O_RDONLY)
        if len(sys.argv) == 1:
            os.set_inheritable(now, True)
            os.execv(sys.executable, [sys.executable, __file__, str(now)])
        magic, before = os.read(now, 8), os.read(int(sys.argv[1]), 8)
        assert (magic, before) == (b"PSPAGE1\\0", bytes(8)), (magic, before)
        """
    assert run(tmp_path, code, "pages").stderr == ""


def test_the_warning_of_an_unclosed_socket_names_the_line_that_it_would_name_unrecorded(tmp_path: Path) -> None:
    code = """
        import gc
        class Own(socket.socket):
            def __del__(self):
                super().__del__()
        def leave(kind):
            sock = kind()
            sock.bind(("127.0.0.1", 0))
            sock = None
        leave(socket.socket)
        leave(Own)
        own = Own()
        own.itself = own
        del own
        gc.collect()
        """
    recorded_run = run(tmp_path, code, "events", "-X", "dev")
    plain_run = run(tmp_path, code, "", "-X", "dev")
    assert recorded_run.stderr.count("ResourceWarning: unclosed") == 3
    assert without_numbers(recorded_run.stderr) == without_numbers(plain_run.stderr)


def without_numbers(warnings: str) -> str:
    """*warnings* without descriptors and ports, which are others in each run."""
    return re.sub(r"fd=\d+|, \d+\)", "", warnings)


def test_a_warning_on_behalf_of_a_caller_names_the_line_that_it_would_name_unrecorded(tmp_path: Path) -> None:
    """unittest warns of a test that returns something, and others do, with a stacklevel."""
    code = """
        import warnings
        warnings.simplefilter("always")
        def warn(*levels):
            for level in levels:
                warnings.warn("of level %d" % level, stacklevel=level)
        class Base(unittest.TestCase):
            def __init_subclass__(cls):
                super().__init_subclass__()
                warn(2, 3, 4)
        class Own(Base):
            def run(self, result=None):
                warn(2, 3, 4)
                return super().run(result)
            def runTest(self):
                class Inner(unittest.TestCase):
                    @classmethod
                    def setUpClass(cls):
                        warn(2, 3, 4, 5, 6)
                    def test_it(self):
                        return 1
                Inner("test_it").run()
                unittest.TestSuite([Inner("test_it")])(Result())
        class Result(unittest.TestResult):
            def addSuccess(self, test):
                warn(2, 3, 4, 5, 6)
        Own().run()
        Own()(Result())
        unittest.TestSuite([Own()])(Result())
        """
    recorded_run = run(tmp_path, code, results=True)
    assert recorded_run.stderr.count("Warning") > 30
    assert recorded_run.stderr == run(tmp_path, code, "").stderr
    assert failures(tmp_path) == []


@pytest.mark.parametrize("mode", ["events", "pages"])
def test_the_methods_of_a_socket_can_be_pickled(tmp_path: Path, mode: str) -> None:
    code = """
        import pickle
        for name in ("bind", "listen", "connect", "connect_ex", "_real_close"):
            method = getattr(socket.socket, name)
            assert pickle.loads(pickle.dumps(method)) == method, name
        """
    assert run(tmp_path, code, mode).stderr == ""


@pytest.mark.parametrize("mode", ["events", "pages"])
def test_development_mode_has_nothing_to_say_of_the_recorder(tmp_path: Path, mode: str) -> None:
    code = """
        import _socket
        native = _socket.socket()
        native.bind(("127.0.0.1", 0))
        native.listen()
        native.close()
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()):
                pass
        if os.fork() == 0:
            socket.create_server(("127.0.0.1", 0)).close()
            sys.exit()
        os.wait()
        """
    done = run(tmp_path, code, mode, "-X", "dev", "-W", "error")
    assert (done.returncode, done.stderr) == (0, "")
    assert failures(tmp_path) == []


def own_sitecustomize(tmp_path: Path, argv: list[str], mode: str = "events") -> str:
    """What *argv*, a Python, says of the project's own sitecustomize, which says "mine", while it is recorded."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "sitecustomize.py").write_text("import sys\nsys.stdout.write('mine')\n")
    env = environment(tmp_path / "copy", mode)
    env.update(PYTHONPATH=os.pathsep.join([str(RECORDER), str(tmp_path / "own")]), PYTHONDONTWRITEBYTECODE="1")
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_python_too_old_to_be_recorded_runs_as_ever_and_is_told(tmp_path: Path) -> None:
    code = "import sys; sys.version_info = (3, 7, 0); import sitecustomize"
    assert own_sitecustomize(tmp_path, [sys.executable, "-S", "-c", code]) == "mine"
    assert failures(tmp_path) == [("partial", "Python 3.7 is too old to be recorded")]


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.13"])
def test_methods_of_one_name_are_told_apart_by_their_classes_whatever_python_runs_them(
    tmp_path: Path, version: str
) -> None:
    code = """
        def serve():
            socket.create_server(("127.0.0.1", 0)).close()

        class Web:
            def start(self):
                serve()

        class Mail(Web):
            def start(self):
                super().start()

            @staticmethod
            def stop():
                serve()

            @property
            def port(self):
                def draw():
                    serve()
                draw()

        Mail().start()
        Mail.stop()
        Mail().port
        """
    done = run(tmp_path, code, python=python_of(version))
    assert done.returncode == 0, done.stderr
    found = [event.caller.frames for event in recorded(tmp_path / "copy") if isinstance(event, Bind)]
    assert [[frame.function for frame in frames] for frames in found] == [
        ["serve", "Web.start", "Mail.start", "<module>"],
        ["serve", "Mail.stop", "<module>"],
        ["serve", "draw", "Mail.port", "<module>"],
    ]


@pytest.mark.parametrize("mode", ["events", "pages"])
@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7", "3.8"])
def test_an_old_python_has_its_own_sitecustomize(tmp_path: Path, version: str, mode: str) -> None:
    python = python_of(version)
    assert own_sitecustomize(tmp_path, [python, "-c", ""], mode) == "mine"


@pytest.mark.parametrize("module", ["sitecustomize", "_parasuite_failures"])
def test_what_any_python_imports_uses_no_syntax_of_python_3(module: str) -> None:
    nodes = list(ast.walk(ast.parse((RECORDER / f"{module}.py").read_text())))
    assert [node for node in nodes if isinstance(node, ast.AnnAssign | ast.JoinedStr | ast.Nonlocal)] == []
    assert [node for node in nodes if isinstance(node, ast.FunctionDef) and node.returns is not None] == []
    assert [node for node in nodes if isinstance(node, ast.arg) and node.annotation is not None] == []


def test_a_recorder_that_cannot_begin_is_told(tmp_path: Path) -> None:
    invalid = "os.environ['PARASUITE_RECORDER'] = os.environ['PARASUITE_RECORDER'].replace('3', 'x', 1)"
    code = f"import os; {invalid}; import sitecustomize"
    assert own_sitecustomize(tmp_path, [sys.executable, "-S", "-c", code]) == "mine"
    why = "not recorded: ValueError(\"invalid literal for int() with base 10: 'x'\")"
    assert failures(tmp_path) == [("blind", why)]


def run_pytest(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """The pytest of a copy that runs *code*; its results are in copy/results.jsonl."""
    (tmp_path / "test_suite.py").write_text(textwrap.dedent(code))
    # Nothing of pytest's own may need a descriptor that *code* closes.
    options = ["-s", "-p", "no:faulthandler", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "_parasuite_pytest", *options, "test_suite.py"],
        cwd=tmp_path,
        env=environment(tmp_path / "copy", "pages"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_results_never_go_into_what_the_program_opens_after_it_closed_every_descriptor(tmp_path: Path) -> None:
    code = """
        import os
        opened = []
        def test_closes():
            os.closerange(3, 256)
            for number in range(8):
                opened.append(open(f"own-{number}", "wb"))
        def test_goes_on():
            pass
        """
    done = run_pytest(tmp_path, code)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(tmp_path / f"own-{number}").read_bytes() for number in range(8)] == [b""] * 8
    tally = tally_of(tmp_path / "copy", "results.jsonl")
    assert [(result.id, result.outcome) for result in tally.results()] == [
        ("test_suite.py::test_closes", "passed"),
        ("test_suite.py::test_goes_on", "passed"),
    ]
    assert tally.has_ended


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_results_without_room_do_not_end_pytest(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "results.jsonl").symlink_to("/dev/full")
    done = run_pytest(tmp_path, "def test_passes(): pass")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_reason_is_told_once_for_all_the_processes_of_a_copy(tmp_path: Path) -> None:
    environment(tmp_path / "copy")
    for pid in (11, 12, 13):
        (tmp_path / "copy" / "recorder" / f"{pid}.partial").write_text("too old\nand again\n")
    states = [event for event in all_recorded(tmp_path) if isinstance(event, SensorState)]
    assert [(state.state, state.why) for state in states] == [("partial", "process 11 and 2 more: too old")]


def test_a_run_whose_recorder_failed_is_blind(parasuite: Parasuite) -> None:
    code = "import os, socket; os.environ = None; socket.create_server(('127.0.0.1', 0)).close()"
    done = parasuite("run", "-j", "1", "--sensors", "recorder", "--", sys.executable, "-c", code)
    assert done.code == 3, done.stdout
    assert re.search(r"recorder was lost: process \d+: AttributeError: 'NoneType' object has no", done.verdict)


def test_the_start_of_the_recorder_imports_neither_contextlib_nor_functools(tmp_path: Path) -> None:
    code = "import sys; print(*sorted({'contextlib', 'functools', 'collections'} & set(sys.modules)))"
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    imported = [
        subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
        for environ in (plain, environment(tmp_path / "copy", "pages"))
    ]
    assert imported[0] == imported[1]
