"""What a server wrote: its beginning while it runs, its end for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from netsupport import server_log
from netsupport.server_log import ServerLog


def test_the_beginning_and_the_end_of_a_long_log_are_both_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_log, "KEPT_BYTES_MAX", 4)
    log = ServerLog()
    log.sink.write(b"port and then some \xff")
    assert (log.beginning(), log.end()) == ("port", "me \\xff")
    log.close()
    assert log.end() == "me \\xff"


def test_a_log_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    log = ServerLog()
    assert list(tmp_path.iterdir()) == []
    log.close()
