"""A server that outlives its copy."""

import subprocess
import sys

SERVER = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(1, flush=True); time.sleep(600)"


def test_that_leaves_a_server(copy):
    if copy == 0:
        server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, start_new_session=True)
        server.stdout.readline()
        server.stdout.close()
        server.returncode = 0
