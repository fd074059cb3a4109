"""The recorder inside Python processes: which test, which line; and, alone, every call with its result."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from parasuite.model.events import Bind, Connect, Listen, ProcessSeen, Release, Send
from parasuite.model.party import Fixture, Party
from parasuite.model.words import AttributedBy, FixtureScope

from runner.tests.recording import PATIENCE_S, PYTEST, binds, environment, record


def test_a_listener_is_written_down_from_bind_to_release(tmp_path: Path) -> None:
    events = record(tmp_path, 's = socket.create_server(("127.0.0.1", 0))\ns.close()')
    assert sorted(type(event).__name__ for event in events) == ["Bind", "Listen", "ProcessSeen", "Release"]
    (bind,) = binds(events)
    (listen,) = (event for event in events if isinstance(event, Listen))
    (release,) = (event for event in events if isinstance(event, Release))
    assert bind.got is not None
    assert bind.got == listen.got
    assert bind.got.port > 0
    assert (bind.party, bind.asked.port, bind.errno, bind.source) == (Party(3), 0, "", "recorder")
    assert str(bind.caller.location or "") == "suite.py:2:<module>"
    assert bind.cookie == release.cookie
    assert bind.socket == release.socket


def test_a_refused_bind_is_written_down_with_its_errno_and_raised_as_ever(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        s = socket.create_server(("127.0.0.1", 0))
        t = socket.socket()
        try:
            t.bind(s.getsockname())
        except OSError as error:
            assert error.errno == 98 or sys.platform != "linux"
        else:
            raise AssertionError
        """,
    )
    assert [bind.errno for bind in binds(events)] == ["", "EADDRINUSE"]


@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="SO_BINDTODEVICE is Linux's")
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_a_wildcard_on_the_loopback_device_is_told_from_one_on_every_device(tmp_path: Path, family: str) -> None:
    events = record(
        tmp_path,
        f"""
        for device in (b"lo", b""):
            s = socket.socket(socket.{family})
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
            s.bind(("", 0)); s.listen(); s.close()
        """,
    )
    told = [(type(event), event.options) for event in events if isinstance(event, Bind | Listen)]
    device = ("loopback-device",)
    assert told == [(Bind, device), (Listen, device), (Bind, ()), (Listen, ())]


def test_connects_and_datagrams_are_written_down_with_where_they_go(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        s = socket.create_server(("127.0.0.1", 0))
        c = socket.create_connection(s.getsockname())
        u = socket.socket(type=socket.SOCK_DGRAM)
        u.sendto(b"x", s.getsockname())
        """,
    )
    (bind,) = binds(events)
    assert bind.got is not None
    towards = [event.destination for event in events if isinstance(event, Connect | Send)]
    assert [(to.protocol, to.port) for to in towards] == [("tcp", bind.got.port), ("udp", bind.got.port)]


def test_a_unittest_names_its_sockets_and_those_of_the_threads_that_it_starts(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        class Server(unittest.TestCase):
            def bind(self):
                socket.create_server(("127.0.0.1", 0)).close()
            def test_one(self):
                self.bind()
                thread = threading.Thread(target=self.bind)
                thread.start(); thread.join()
        unittest.main()
        """,
    )
    assert [(bind.caller.test, bind.caller.attribution) for bind in binds(events)] == [
        ("__main__.Server.test_one", "thread"),
        ("__main__.Server.test_one", "thread's start"),
    ]


def test_a_server_started_in_one_test_that_binds_during_another_is_the_first_ones(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        go, bound = threading.Event(), threading.Event()
        def serve():
            go.wait()
            socket.create_server(("127.0.0.1", 0)).close()
            bound.set()
        def test_first():
            threading.Thread(target=serve).start()
        def test_second():
            go.set(); bound.wait()
        """,
        *PYTEST,
        name="test_suite.py",
    )
    assert [bind.caller.test for bind in binds(events)] == ["test_suite.py::test_first"]


def test_a_call_in_a_fixture_names_the_innermost_fixture_at_work_and_its_scope(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        import pytest
        def bind():
            socket.create_server(("127.0.0.1", 0)).close()
        @pytest.fixture(scope="session")
        def database():
            bind()
            yield
            bind()
        @pytest.fixture
        def client(database):
            bind()
        def test_one(client):
            bind()
        def test_two(database):
            bind()
        """,
        *PYTEST,
        name="test_suite.py",
    )
    one, two = "test_suite.py::test_one", "test_suite.py::test_two"
    database = Fixture(FixtureScope.SESSION, "database")
    assert [(bind.caller.test, bind.caller.fixture) for bind in binds(events)] == [
        (one, database),
        (one, Fixture(FixtureScope.FUNCTION, "client")),
        (one, None),
        (two, None),
        (two, database),
    ]


STARTED_BY_A_FIXTURE = """
    import multiprocessing, pytest
    context = multiprocessing.get_context("fork")
    go, bound = context.Event(), context.Event()
    def serve():
        go.wait()
        socket.create_server(("127.0.0.1", 0)).close()
        bound.set()
    @pytest.fixture(scope="SCOPE")
    def helper():
        STARTED = KIND(target=serve)
        STARTED.start()
    def test_first(helper): pass
    def test_second():
        go.set(); bound.wait()
    """


@pytest.mark.parametrize("kind", ["threading.Thread", "context.Process"])
def test_what_a_sessions_fixture_starts_belongs_to_the_fixture_and_to_no_test(tmp_path: Path, kind: str) -> None:
    code = STARTED_BY_A_FIXTURE.replace("SCOPE", "session").replace("KIND", kind)
    (bind,) = binds(record(tmp_path, code, *PYTEST, name="test_suite.py"))
    assert (bind.caller.test, bind.caller.fixture) == ("", Fixture(FixtureScope.SESSION, "helper"))


@pytest.mark.parametrize("kind", ["threading.Thread", "context.Process"])
def test_what_a_tests_own_fixture_starts_belongs_to_the_test(tmp_path: Path, kind: str) -> None:
    code = STARTED_BY_A_FIXTURE.replace("SCOPE", "function").replace("KIND", kind)
    (bind,) = binds(record(tmp_path, code, *PYTEST, name="test_suite.py"))
    assert bind.caller.test == "test_suite.py::test_first"


def test_calls_of_a_classs_and_a_modules_set_up_have_that_scope(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        def bind():
            socket.create_server(("127.0.0.1", 0)).close()
        def setUpModule():
            bind()
        class Tests(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                bind()
            def test_one(self):
                bind()
        unittest.main()
        """,
    )
    assert [bind.caller.fixture_scope for bind in binds(events)] == [
        FixtureScope.MODULE,
        FixtureScope.CLASS,
        FixtureScope.NONE,
    ]


def test_a_call_is_shown_with_the_users_frames_innermost_first(tmp_path: Path) -> None:
    code = """
        def bind():
            socket.create_server(("127.0.0.1", 0)).close()
        def deeper(count):
            deeper(count - 1) if count else bind()
        def test_one():
            deeper(6)
        """
    (bind,) = binds(record(tmp_path, code, *PYTEST, name="test_suite.py"))
    assert [f"{frame.line}:{frame.function}" for frame in bind.caller.frames] == ["4:bind", *["6:deeper"] * 4]


INSTALLED = """
    import os, pytest, sys
    os.makedirs("installed/site-packages")
    sys.path.insert(0, os.path.abspath("installed/site-packages"))
    with open("installed/site-packages/library.py", "w") as stream:
        stream.write("import socket, threading\\n"
            "def start():\\n"
            "    socket.create_server(('127.0.0.1', 0)).close()\\n"
            "def in_a_thread():\\n"
            "    thread = threading.Thread(target=start); thread.start(); thread.join()\\n"
            "def in_a_threads_thread():\\n"
            "    thread = threading.Thread(target=in_a_thread); thread.start(); thread.join()\\n"
            "def call(function): function()\\n"
            "def start_and_release(lock): start(); lock.release()\\n")
    import library
    """


def test_a_librarys_frame_is_not_shown_where_one_of_the_project_is_on_the_stack(tmp_path: Path) -> None:
    code = """
    @pytest.fixture
    def server():
        library.start()
    def test_one(server): pass
    """
    (bind,) = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert [(frame.file, frame.function) for frame in bind.caller.frames] == [("test_suite.py", "server")]
    assert bind.caller.library == "installed/site-packages/library.py"


def test_a_librarys_frames_are_shown_where_none_of_the_project_is_known(tmp_path: Path) -> None:
    code = """
    import _thread
    def test_one():
        done = threading.Lock()
        done.acquire()
        _thread.start_new_thread(library.start_and_release, (done,))
        assert done.acquire(timeout=120)
    """
    (bind,) = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert [(Path(frame.file).name, frame.function) for frame in bind.caller.frames] == [
        ("library.py", "start"),
        ("library.py", "start_and_release"),
    ]
    assert bind.caller.library == ""


def test_what_the_project_binds_for_a_library_is_no_call_of_the_librarys(tmp_path: Path) -> None:
    code = """
    def serve():
        socket.create_server(("127.0.0.1", 0)).close()
    def test_one():
        library.call(serve)
    """
    (bind,) = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert [frame.function for frame in bind.caller.frames] == ["serve", "test_one"]
    assert bind.caller.library == ""


@pytest.mark.parametrize(
    "start", ["library.in_a_thread", "threading.Thread(target=library.start).start", "library.in_a_threads_thread"]
)
def test_a_thread_without_frames_of_the_project_is_shown_with_those_of_the_line_that_started_it(
    tmp_path: Path, start: str
) -> None:
    code = f"""
    import threading
    def server():
        {start}()
    def test_one(): server()
    """
    (bind,) = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert [(frame.file, frame.function) for frame in bind.caller.frames] == [
        ("test_suite.py", "server"),
        ("test_suite.py", "test_one"),
    ]


def test_what_a_pool_runs_belongs_to_the_test_and_the_line_that_submitted_it(tmp_path: Path) -> None:
    code = """
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(1)
    def first(): pool.submit(library.start).result()
    def second(): list(pool.map(library.call, [library.start]))
    def test_one(): first()
    def test_two():
        second()
        pool.shutdown()
    """
    one, two = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert [(bind.caller.test, bind.caller.frames[0].function) for bind in (one, two)] == [
        ("test_suite.py::test_one", "first"),
        ("test_suite.py::test_two", "second"),
    ]
    assert {bind.caller.attribution for bind in (one, two)} == {AttributedBy.THREAD_START}


def test_a_fixture_s_pool_serves_no_single_test(tmp_path: Path) -> None:
    code = """
    import pytest
    from concurrent.futures import ThreadPoolExecutor
    @pytest.fixture(scope="module")
    def served():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(library.start).result()
            yield
    def test_one(served): pass
    """
    (bind,) = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert (bind.caller.test, bind.caller.fixture_scope) == ("", FixtureScope.MODULE)
    assert [frame.function for frame in bind.caller.frames] == ["served"]


def test_a_thread_with_frames_of_the_project_is_shown_with_those_alone(tmp_path: Path) -> None:
    code = """
    import threading
    def server(): library.start()
    def test_one():
        threading.Thread(target=server).start()
    """
    (bind,) = binds(record(tmp_path, INSTALLED + code, *PYTEST, name="test_suite.py"))
    assert [(frame.file, frame.function) for frame in bind.caller.frames] == [("test_suite.py", "server")]


def test_a_task_belongs_to_the_test_that_created_it(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        import asyncio
        loop = asyncio.new_event_loop()
        async def late(go):
            await go.wait()
            (await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)).close()
        class Tests(unittest.TestCase):
            def test_1_create(self):
                async def create():
                    type(self).go = asyncio.Event()
                    type(self).task = asyncio.ensure_future(late(self.go))
                loop.run_until_complete(create())
            def test_2_run(self):
                async def run():
                    self.go.set(); await self.task
                loop.run_until_complete(run())
        unittest.main()
        """,
    )
    assert [(bind.caller.test, str(bind.caller.location or "").split(":")[2]) for bind in binds(events)] == [
        ("__main__.Tests.test_1_create", "late")
    ]


def test_a_test_run_inside_a_test_is_the_outer_tests(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        class Inner(unittest.TestCase):
            def runTest(self):
                socket.create_server(("127.0.0.1", 0)).close()
        class Outer(unittest.TestCase):
            def test_outer(self):
                Inner().run(unittest.TestResult())
                socket.create_server(("127.0.0.1", 0)).close()
        unittest.main(defaultTest="Outer")
        """,
    )
    assert [bind.caller.test for bind in binds(events)] == ["__main__.Outer.test_outer"] * 2


def test_tests_that_run_in_threads_at_once_each_have_their_own_sockets(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        def listen():
            socket.create_server(("127.0.0.1", 0)).close()
        class Tests(unittest.TestCase):
            go, running = threading.Event(), threading.Semaphore(0)
            def test_first(self):
                self.running.release()
                self.go.wait()
                thread = threading.Thread(target=listen)
                thread.start(); thread.join()
                listen()
            def test_second(self):
                self.running.release()
                self.go.wait()
                listen()
        threads = []
        for name in ("test_first", "test_second"):
            threads.append(threading.Thread(target=Tests(name).run))
            threads[-1].start()
            Tests.running.acquire()
        listen()
        Tests.go.set()
        for thread in threads:
            thread.join()
        """,
    )
    assert sorted((bind.caller.test.partition("Tests.")[2], bind.caller.attribution) for bind in binds(events)) == [
        ("", ""),
        ("test_first", "thread"),
        ("test_first", "thread's start"),
        ("test_second", "thread"),
    ]


def test_an_asyncio_test_names_its_sockets(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        class Inner(unittest.TestCase):
            def runTest(self):
                socket.create_server(("127.0.0.1", 0)).close()
        class Tests(unittest.IsolatedAsyncioTestCase):
            async def test_serves(self):
                Inner().run()
        unittest.main(defaultTest="Tests")
        """,
    )
    assert [(bind.caller.test, bind.caller.attribution) for bind in binds(events)] == [
        ("__main__.Tests.test_serves", "thread")
    ]


def test_forked_and_spawned_children_work_for_the_test_that_made_them(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        def serve():
            socket.create_server(("127.0.0.1", 0)).close()
        def test_children():
            if os.fork() == 0:
                serve()
                os._exit(0)
            os.wait()
            code = "import socket; socket.create_server(('127.0.0.1', 0)).close()"
            subprocess.run([sys.executable, "-c", code], check=True)
        """,
        *("-m", "pytest", "-p", "no:cacheprovider", "-q", "test_suite.py"),
        name="test_suite.py",
    )
    # None of their threads runs the test, which does not see what they raise.
    named = [(bind.caller.test, bind.caller.attribution) for bind in binds(events)]
    assert named == [("test_suite.py::test_children", "process")] * 2
    assert len({bind.caller.process.pid for bind in binds(events)}) == 2


def test_a_test_that_its_runner_runs_in_a_forked_child_runs_in_that_childs_thread(tmp_path: Path) -> None:
    # As pytest-forked and xdist's --boxed do.
    (tmp_path / "conftest.py").write_text(
        textwrap.dedent(
            """
            import os
            from _pytest.runner import runtestprotocol
            def pytest_runtest_protocol(item):
                if os.fork() == 0:
                    runtestprotocol(item, log=False)
                    os._exit(0)
                os.wait()
                return True
            """
        )
    )
    events = record(
        tmp_path,
        """
        def test_serves():
            socket.create_server(("127.0.0.1", 0)).close()
        """,
        *PYTEST,
        name="test_suite.py",
    )
    named = [(bind.caller.test, bind.caller.attribution) for bind in binds(events)]
    assert named == [("test_suite.py::test_serves", "thread")]


def test_xdist_workers_name_their_tests(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        import pytest
        @pytest.mark.parametrize("number", range(4))
        def test_listens(number):
            socket.create_server(("127.0.0.1", 0)).close()
        """,
        *("-m", "pytest", "-p", "no:cacheprovider", "-q", "-n", "2", "test_suite.py"),
        name="test_suite.py",
    )
    named = sorted(bind.caller.test for bind in binds(events) if bind.caller.test)
    assert named == [f"test_suite.py::test_listens[{number}]" for number in range(4)]


def test_what_was_written_survives_a_kill_and_closed_descriptors(tmp_path: Path) -> None:
    events = record(
        tmp_path,
        """
        if os.fork() == 0:
            socket.create_server(("127.0.0.1", 0)).close()
            os.closerange(3, 200)
            socket.create_server(("127.0.0.1", 0)).close()
            os.kill(os.getpid(), 9)
        os.wait()
        """,
    )
    assert len(binds(events)) == 2


def test_a_socket_collected_unclosed_is_released(tmp_path: Path) -> None:
    events = record(tmp_path, 's = socket.create_server(("127.0.0.1", 0))\ndel s\nimport gc; gc.collect()')
    assert len([event for event in events if isinstance(event, Release)]) == 1


def test_unix_sockets_are_written_down_with_their_full_path_result_and_release(tmp_path: Path) -> None:
    code = """
        for name in ("here", "here", "no/where"):
            s = socket.socket(socket.AF_UNIX)
            try:
                s.bind(name)
            except OSError:
                pass
            s.close()
        """
    events = record(tmp_path, code)
    assert [(bind.asked.address, bind.errno) for bind in binds(events)] == [
        (str(tmp_path / "here"), ""),
        (str(tmp_path / "here"), "EADDRINUSE"),
        (str(tmp_path / "no/where"), "ENOENT"),
    ]
    (release,) = [event for event in events if isinstance(event, Release)]
    assert release.cookie == binds(events)[0].cookie


@pytest.mark.parametrize(
    "address", ['"\\0named"', 'b"\\0named"', 'bytearray(b"\\0named")', 'memoryview(b"\\0named")']
)
def test_a_name_in_any_buffer_is_written_down(tmp_path: Path, address: str) -> None:
    name = f"{tmp_path.name}-{os.getpid()}"
    code = f"s = socket.socket(socket.AF_UNIX)\ns.bind({address.replace('named', name)})"
    assert [bind.asked.address for bind in binds(record(tmp_path, code))] == ["@" + name]


@pytest.mark.parametrize(
    "address", ['("127.0.0.1", "1")', '("127.0.0.1", 65536)', '("::1", 1)', '("127.0.0.1", 1, 0, 0)', "(5, 1)"]
)
def test_an_address_that_python_refuses_is_not_written_down(tmp_path: Path, address: str) -> None:
    code = f"""
        try:
            socket.socket().bind({address})
        except (OSError, OverflowError, TypeError):
            pass
        else:
            raise SystemExit("bound")
        """
    assert binds(record(tmp_path, code)) == []


@pytest.mark.parametrize("module", ["socket", "_socket"])
def test_a_test_may_take_a_constant_away(tmp_path: Path, module: str) -> None:
    code = f"""
        import {module} as changed
        sock = socket.socket(socket.AF_INET6)
        for name in ("IPPROTO_IPV6", "IPV6_V6ONLY", "SOL_SOCKET", "AF_INET"):
            delattr(changed, name)
        sock.bind(("::1", 0))
        """
    (bind,) = binds(record(tmp_path, code))
    assert bind.asked.v6only is not None


def test_the_next_sitecustomize_on_the_path_is_imported_as_ever(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.customized = __file__\n")
    env = environment(tmp_path / "copy")
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    code = "import sitecustomize; assert customized == sitecustomize.__file__, customized; print(customized)"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout.strip() == str(tmp_path / "sitecustomize.py"), done.stderr


def test_a_process_that_outlives_its_run_is_not_disturbed(tmp_path: Path) -> None:
    env = {**environment(tmp_path / "copy"), "PARASUITE_RECORDER": f"events 3 {tmp_path / 'gone'}"}
    code = "import socket; socket.create_server(('127.0.0.1', 0)).close()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_long_log_goes_on_in_another_file(tmp_path: Path) -> None:
    events = record(tmp_path, 'for _ in range(1500):\n    socket.create_server(("127.0.0.1", 0)).close()')
    assert len(binds(events)) == 1500
    assert len(list((tmp_path / "copy" / "recorder").iterdir())) > 1
    assert len([event for event in events if isinstance(event, ProcessSeen)]) == 1


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_a_python_that_ignores_the_environment_is_not_recorded(tmp_path: Path, flag: str) -> None:
    events = record(tmp_path, 'socket.create_server(("127.0.0.1", 0)).close()', flag, "suite.py")
    assert events == []
