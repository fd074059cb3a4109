"""The corpus: what eleven network modules of the standard library promise, as tests."""
