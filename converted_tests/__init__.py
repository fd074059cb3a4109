"""The corpus: what eleven network modules of the standard library promise, told as tests."""
