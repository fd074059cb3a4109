"""From events to findings: one small class for each cause or effect, fed once, in order of time.

finding       Finding, Effect, Side
knowledge     what judging has learned so far: holds, ports that the kernel assigned, processes
seen          a cause or an effect, seen once, and what it is charged to
charges       what a meeting of two parties is charged to
holders       whose socket was in the way of a bind or listen
table         everything that one change would cure becomes one finding with an id
titles        a sentence for each finding
random_ports  which programs draw their ports at random, so that two copies meet on one by chance
port_lists    which fixed ports one function has as a list
programs      what to call a program that has no known source line
refused, shared, crosstalk                        effects (refused: `foreign`, too; crosstalk: `closed-port`)
hard_coded, lost_port, reuse, exposed, leaked, orphan   causes
find          reads the events and shows them to each detector
"""

from parasuite.judge.findings.find import Judgement, find
from parasuite.judge.findings.finding import Effect, Explanation, Finding, Side

__all__ = ["Effect", "Explanation", "Finding", "Judgement", "Side", "find"]
