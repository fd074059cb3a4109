"""The `socket` module, one topic a file."""
