"""One worker's half."""

import socket


def test_a_port_for_each_worker(own_server):
    pass


def test_a_shared_database(database, meeting):
    socket.create_connection(database).close()
    meeting.tell("second used it")
    meeting.hear("first used it")
