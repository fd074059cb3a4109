"""One worker's half."""

import socket


def test_a_port_for_each_worker(own_server):
    pass


def test_a_shared_database(database, meeting):
    socket.create_connection(database).close()
    meeting.tell("first used it")
    meeting.hear("second used it")


def test_a_port_of_the_controller(drawn_port):
    socket.create_server(("127.0.0.1", drawn_port)).close()
