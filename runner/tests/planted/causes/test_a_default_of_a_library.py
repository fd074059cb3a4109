"""A library's default port, used by two tests."""

import planted_library


def test_a_server_of_a_library(in_turn):
    in_turn(lambda: planted_library.serve().close())


def test_another_server_of_the_library(in_turn):
    in_turn(lambda: planted_library.serve().close())
