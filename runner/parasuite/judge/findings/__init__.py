"""From events to findings: one small class for each kind, fed once, in order of time.

model        Finding, Side, the severities
facts        what judging has learned so far: holds, ports that the kernel assigned, processes
occurrences  one thing seen, and how many of them become one finding with an id
refusals     `refused`, `foreign`      meetings  `shared`, `crosstalk`
numbers      `hard-coded`, `rebind`, `reuse`      reach  `exposed`, `orphan`
judge        reads the events and asks each of them
"""

from parasuite.judge.findings.find import Judgement, findings, judge
from parasuite.judge.findings.model import SEVERITIES, SEVERITY_OF, Finding, Side

__all__ = ["SEVERITIES", "SEVERITY_OF", "Finding", "Judgement", "Side", "findings", "judge"]
