"""A server with a bad habit per option: `tiny_server.py PORT [--reuse] [--fork] ...`; it imports no netsupport.

It answers each connection with its process id. It exits when a client sends `quit STATUS`.
"""

import argparse
import os
import signal
import socket
import sys


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--reuse", action="store_true", help="set SO_REUSEADDR")
    parser.add_argument("--share", action="store_true", help="set SO_REUSEPORT")
    parser.add_argument("--udp", action="store_true", help="bind UDP too")
    parser.add_argument("--only-udp", action="store_true", help="bind UDP alone")
    parser.add_argument("--fd", type=int, default=-1, help="take over this listening socket")
    parser.add_argument("--fork", action="store_true", help="a child listens")
    parser.add_argument("--daemonize", action="store_true", help="leave the session and the parent")
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--second-port", action="store_true", help="listen on a port of the kernel's choice as well")
    parser.add_argument("--say", default="", help="print this, with PORT filled in, when listening")
    parser.add_argument("--gate", default="", help="a FIFO that gets the port; go on at a word on --gate-back")
    parser.add_argument("--gate-back", default="")
    return parser.parse_args()


def bound(options: argparse.Namespace, kind: int, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in options.host else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, options.reuse)
    if options.share:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((options.host, port))
    return sock


def main() -> None:
    options = parse()
    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.fork and os.fork():
        os.wait()
        return
    if options.daemonize:
        if os.fork():
            return
        os.setsid()
        if os.fork():
            os._exit(0)
    if options.gate and os.path.exists(options.gate):
        # The first attempt alone finds the FIFOs: the test removes them before it answers.
        with open(options.gate, "w") as gate:
            gate.write(str(options.port))
        with open(options.gate_back) as back:
            back.read()
    kept = []
    if options.udp or options.only_udp:
        kept.append(bound(options, socket.SOCK_DGRAM, options.port))
    if options.only_udp:
        signal.pause()
    if options.second_port:
        kept.append(socket.create_server((options.host, 0)))
    server = socket.socket(fileno=options.fd) if options.fd >= 0 else bound(options, socket.SOCK_STREAM, options.port)
    server.listen()
    if options.say:
        print(options.say.replace("PORT", str(server.getsockname()[1])), flush=True)  # noqa: T201
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(f"{os.getpid()}\n".encode())
            asked = connection.recv(100).split()
        if asked[:1] == [b"quit"]:
            sys.exit(int(asked[1]))


if __name__ == "__main__":
    main()
