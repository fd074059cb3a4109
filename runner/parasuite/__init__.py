"""The race detector for network ports: N copies of a test suite at once, every collision named."""

__version__ = "0.1.0"
