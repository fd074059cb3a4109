"""Tests of telnetlib."""
