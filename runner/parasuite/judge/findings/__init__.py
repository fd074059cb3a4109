"""From events to findings: one small class for each kind, fed once, in order of time.

finding       Finding, Side
knowledge     what judging has learned so far: holds, ports that the kernel assigned, processes
table         one thing seen, and how many of them become one finding with an id
random_ports  which programs draw their ports at random, so that two copies meet on one by chance
refused, shared, crosstalk, orphan, hard_coded, rebind, exposed, reuse   a kind each (refused: `foreign`, too)
find          reads the events and shows them to each detector
"""

from parasuite.judge.findings.find import Judgement, find
from parasuite.judge.findings.finding import Finding, Side

__all__ = ["Finding", "Judgement", "Side", "find"]
