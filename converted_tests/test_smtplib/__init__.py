"""Tests of smtplib."""
