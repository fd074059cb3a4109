"""Tests of poplib."""
