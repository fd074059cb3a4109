"""What signals do to trapped calls: `python -m runner.benchmarks.interrupted [CALLS [SCENARIO ...]]`.

Each scenario is a program that counts how its calls end, at -j 8 beside one busy loop per processor, without sensors
and with all. CALLS (100,000 by default) is the number of calls of each kind over all copies. A "false" connect
returned success, but its socket has no peer. A connect "in progress" is one that the kernel had begun when the signal
came: that EINTR is the kernel's own answer. Printed beside the counts: what the run's note says.

Scenarios: "storm" (a Python with an interval timer), "children" (a Python with a SIGCHLD handler and two threads that
start programs), "asyncio" (a client, with an interval timer), "c" (a C program whose handler lacks SA_RESTART; needs
`cc`). Those with a timer run at 100 Hz and at 1 kHz; "@100" or "@1000" after the name selects one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

COPIES = 8
CALLS = 100_000
RATES_HZ = (100, 1000)

_HEAD = """
import errno, json, os, signal, socket, sys
calls, rate = int(sys.argv[1]), int(sys.argv[2])
counts = {}
def count(kind):
    counts[kind] = counts.get(kind, 0) + 1
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(128)
address = server.getsockname()
server.setblocking(False)
def accept_all():
    try:
        while True:
            server.accept()[0].close()
    except BlockingIOError:
        pass
def connect():
    with socket.socket() as client:
        try:
            client.connect(address)
            client.getpeername()
            count("connect ok")
        except OSError as error:
            count("connect false" if error.errno == errno.ENOTCONN else f"connect {errno.errorcode[error.errno]}")
    accept_all()
def bind():
    with socket.socket() as made:
        for kind, call in (("bind", lambda: made.bind(("127.0.0.1", 0))), ("listen", made.listen)):
            try:
                call()
                count(f"{kind} ok")
            except OSError as error:
                count(f"{kind} {errno.errorcode[error.errno]}")
def start_timer():
    signal.signal(signal.SIGALRM, lambda *_: None)
    if rate:
        signal.setitimer(signal.ITIMER_REAL, 1 / rate, 1 / rate)
"""
_END = """
signal.setitimer(signal.ITIMER_REAL, 0)
print("counts", json.dumps(counts))
"""
_PROGRAMS = {
    "storm": """
start_timer()
for _ in range(calls):
    connect()
    bind()
""",
    "children": """
import subprocess, threading
signal.signal(signal.SIGCHLD, lambda *_: None)
done = threading.Event()
def spawn():
    while not done.is_set():
        subprocess.run(["/bin/true"])
threads = [threading.Thread(target=spawn) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(calls):
    connect()
    bind()
done.set()
for thread in threads:
    thread.join()
""",
    "asyncio": """
import asyncio
async def main():
    accepted = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = accepted.sockets[0].getsockname()[1]
    start_timer()
    for _ in range(calls):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            count(f"connect {errno.errorcode[error.errno]}")
            continue
        count("connect ok" if writer.get_extra_info("peername") else "connect false")
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass
    accepted.close()
asyncio.run(main())
""",
}
_C = r"""
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
static void handler(int number) { (void)number; }
static int has_begun(int client) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    return !getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &length) && info.tcpi_state != TCP_CLOSE;
}
int main(int argc, char **argv) {
    long calls = atol(argv[1]), rate = atol(argv[2]);
    long ok[3] = {0}, interrupted[3] = {0}, begun = 0, other[3] = {0};
    const char *names[3] = {"connect", "bind", "listen"};
    struct sigaction action = {.sa_handler = handler};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, server = address;
    socklen_t length = sizeof server;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), taken;
    if (argc < 3 || bind(listener, (void *)&server, length) || listen(listener, 128)) return 1;
    getsockname(listener, (void *)&server, &length);
    sigaction(SIGALRM, &action, 0);
    struct itimerval timer = {{0, rate ? 1000000 / rate : 0}, {0, rate ? 1000000 / rate : 0}};
    setitimer(ITIMER_REAL, &timer, 0);
    for (long number = 0; number < calls; number++) {
        int client = socket(AF_INET, SOCK_STREAM, 0), made = socket(AF_INET, SOCK_STREAM, 0);
        for (int kind = 0; kind < 3; kind++) {
            int failed = kind == 0 ? connect(client, (void *)&server, sizeof server)
                : kind == 1 ? bind(made, (void *)&address, sizeof address) : listen(made, 8);
            if (!failed) ok[kind]++;
            else if (errno != EINTR) other[kind]++;
            else if (kind == 0 && has_begun(client)) begun++;
            else interrupted[kind]++;
        }
        close(client);
        close(made);
        while ((taken = accept(listener, 0, 0)) >= 0) close(taken);
    }
    printf("counts {\"connect in progress\": %ld", begun);
    for (int kind = 0; kind < 3; kind++)
        printf(", \"%s ok\": %ld, \"%s EINTR\": %ld, \"%s other\": %ld",
            names[kind], ok[kind], names[kind], interrupted[kind], names[kind], other[kind]);
    puts("}");
    return 0;
}
"""
_NOTE = re.compile(r"[^\n]*signal[^\n]*")


def _commands(folder: Path) -> dict[str, list[str]]:
    """The program of each scenario, to be followed by its number of rounds and its rate."""
    found = {}
    for name, body in _PROGRAMS.items():
        path = folder / f"{name}_program.py"
        path.write_text(_HEAD + body + _END)
        found[name] = [sys.executable, str(path)]
    if shutil.which("cc"):
        source, program = folder / "storm.c", folder / "storm"
        source.write_text(_C)
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
        found["c"] = [str(program)]
    return found


def measure(command: list[str], sensors: str, folder: Path) -> tuple[Counter[str], str, float]:
    """One run of eight copies: how the calls ended, what the run notes of signals, and its seconds."""
    started_s = time.monotonic()
    argv = [sys.executable, "-m", "parasuite", "run", "-j", str(COPIES), "--sensors", sensors, "--", *command]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True)
    wall_s = time.monotonic() - started_s
    counts: Counter[str] = Counter()
    finished = 0
    for output in sorted((folder / ".parasuite" / "latest" / "copies").glob("*/output.log")):
        for line in output.read_text().splitlines():
            if line.startswith("counts "):
                finished += 1
                counts.update(json.loads(line.removeprefix("counts ")))
    if finished != COPIES:
        print(f"only {finished} of {COPIES} copies finished:\n{done.stdout}{done.stderr}")
    note = _NOTE.search(done.stdout + done.stderr)
    return counts, note.group().strip() if note else "no note", wall_s


def main(calls: int, chosen: list[str]) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, command in _commands(Path(folder)).items():
                for rate in (0,) if name == "children" else RATES_HZ:
                    label = f"{name}@{rate}"
                    if chosen and name not in chosen and label not in chosen:
                        continue
                    for sensors in ("none", "auto"):
                        program = [*command, str(calls // COPIES), str(rate)]
                        counts, note, wall_s = measure(program, sensors, Path(folder))
                        print(f"{label}, sensors {sensors}: {wall_s:.1f} s; {note}")
                        for kind, number in sorted(counts.items()):
                            total = sum(made for other, made in counts.items() if other.split()[0] == kind.split()[0])
                            if number:
                                print(f"    {kind:16} {number:9,}  {number / total:8.3%}", flush=True)
    finally:
        for loop in busy:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS, sys.argv[2:])
