"""A JUnit file of suites, within the bounds of its readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from parasuite.reports.junit_bounds import ELEMENTS_MAX, Bounded, Suite, bounded
from parasuite.reports.junit_case import Case, attribute, seconds
from parasuite.reports.wording import plural

PORTS, AUDIT = "parasuite.ports", "parasuite.audit"
"""The suites of what parasuite itself has to say."""
LEFT_OUT = "{cases} left out, the tests that passed first, and {texts} shortened"
LEFT_OUT_WHY = "the file would be larger than its readers take; the run folder has the results of each copy"
_LIMITS = "left out of this file"


def document(
    suites: Sequence[Suite], *, duration_s: float, wall: str, host: str, elements_max: int = ELEMENTS_MAX
) -> Iterator[str]:
    """The file, a part at a time. *duration_s*, *wall*, *host*: of the whole, *wall* in ISO 8601, UTC."""
    fitting = bounded(suites, elements_max=elements_max)
    suites = [*fitting.suites, *_left_out(fitting)]
    everything = [case for suite in suites for case in suite.cases]
    yield "<?xml version='1.0' encoding='utf-8'?>\n"
    yield f'<testsuites name="parasuite" {_counts(everything, skipped=False)} time="{duration_s:.3f}">\n'
    for suite in suites:
        took_s = sum(case.duration_s for case in suite.cases)
        yield f" <testsuite name={attribute(suite.name)} {_counts(suite.cases)} time={seconds(took_s)}"
        yield f" timestamp={attribute(wall)} hostname={attribute(host)}>\n"
        for case in suite.cases:
            yield case.xml
        yield " </testsuite>\n"
    yield "</testsuites>\n"


def _left_out(fitting: Bounded) -> Iterator[Suite]:
    """A suite that says what did not fit into the file."""
    if fitting.left_out or fitting.shortened:
        message = LEFT_OUT.format(cases=plural(fitting.left_out, "case"), texts=plural(fitting.shortened, "text"))
        yield Suite(_LIMITS, [Case(AUDIT, _LIMITS, 0.0, "skipped", message, LEFT_OUT_WHY)])


def _counts(cases: Sequence[Case], *, skipped: bool = True) -> str:
    counts = Counter(case.element for case in cases)
    text = f'tests="{len(cases)}" failures="{counts["failure"]}" errors="{counts["error"]}"'
    # junit-10 has no `skipped` on the outermost element.
    return text + (f' skipped="{counts["skipped"]}"' if skipped else "")
