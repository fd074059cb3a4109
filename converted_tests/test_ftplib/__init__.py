"""Tests of ftplib."""
