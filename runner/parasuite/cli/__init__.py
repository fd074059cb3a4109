"""The command line: a module per command. Only this room and `run.progress` print."""
