"""Tests of http.client, one topic a file."""
