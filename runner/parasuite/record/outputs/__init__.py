"""Test results in what a command prints: a module per tool, each a pure function of its lines."""
