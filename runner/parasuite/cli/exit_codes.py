"""The exit codes of a run, as --help explains them."""

from __future__ import annotations

EXIT_CODES = """\b
Exit codes:
  0    all tests passed in all copies, no finding at or above --fail-on
  1    a test failed, timed out, was lost or was not collected in some copy,
       or a copy died
  2    wrong usage or configuration; nothing was started
  3    parasuite failed or could not see, so the run proves nothing
  4    no test ran in any copy
  66   all tests passed, but there is a finding at or above --fail-on
  130  interrupted (Ctrl-C)
  143  terminated (TERM, HUP)
A series (--repeat, --duration, --until) has the worst code of its rounds:
1 before 66 before 3 before 4.
With --exit-code suite, the exit code of the suite instead of 0, 1, 3, 4, 66.
"""
