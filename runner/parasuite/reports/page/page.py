"""report.html: one file that makes no request, from the template, the style and the scripts beside this module.

Names of tests, command lines and messages are hostile text. The template escapes every value (autoescape), and first
makes it printable, so that no mark of direction reorders a line. What the scripts draw comes as JSON, and they set it
as text only. The page's Content-Security-Policy allows its own script and style, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from functools import cache
from importlib import resources

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from parasuite.judge.report import Report
from parasuite.judge.verdict import ExitCode
from parasuite.model.results import shortened
from parasuite.model.words import Severity, TestOutcome
from parasuite.reports.page.cards import FAILURES_MAX, FINDINGS_MAX, cards, failures
from parasuite.reports.page.columns import embedded, shown
from parasuite.reports.page.test_data import test_data
from parasuite.reports.page.timeline_data import timeline_data
from parasuite.reports.wording import counted, in_copies, listeners_seen, plural, printable

SCRIPTS = ("data.js", "axis.js", "lanes.js", "timeline.js", "events.js", "tests.js", "main.js")
"""In the order in which they are put together."""
_FINDINGS_OPEN = 3
_FAILURES_AT_ONCE = 10  # The others are behind a summary.
_VALUE_MAX = 1_000
_MESSAGE_MAX = 4_000
_TONES = {ExitCode.PASSED: "good", ExitCode.TEST_FAILED: "bad", ExitCode.FINDINGS: "bad"}


def page(report: Report) -> str:
    """The whole text of report.html."""
    style, script = _text("page.css"), "".join(map(_text, SCRIPTS))
    all_failures = failures(report)
    return _template().render(
        report=report,
        tone=_TONES.get(report.verdict.code, "unsure"),
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        timeline=embedded(timeline_data(report)),
        tests=embedded(test_data(report)),
        cards=cards(report),
        findings_left_out=max(0, len(report.findings) - FINDINGS_MAX),
        failures=all_failures[:FAILURES_MAX],
        failures_left_out=max(0, len(all_failures) - FAILURES_MAX),
        severities=_severities(report),
        suppressed=sum(finding.suppressed is not None for finding in report.findings),
        outcomes=Counter(result.outcome for results in report.results for result in results),
        outcomes_of_copies=[Counter(result.outcome for result in results) for results in report.results],
        seen=_seen(report),
        Outcome=TestOutcome,
        OPEN_AT_ONCE=_FINDINGS_OPEN,
        SHOWN_AT_ONCE=_FAILURES_AT_ONCE,
    )


def _severities(report: Report) -> list[tuple[Severity, int]]:
    counts = Counter(finding.severity for finding in report.findings if finding.suppressed is None)
    return [(severity, counts[severity]) for severity in reversed(Severity) if counts[severity]]


def _seen(report: Report) -> str:
    health = report.health
    samples = health.samples if health.is_sampled else None
    return listeners_seen(health.listeners, calls=health.calls or None, samples=samples)


def _policy(style: str, script: str) -> str:
    """Content Security Policy Level 3: nothing may be loaded; an inline element needs the hash of its text."""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    """A file of this package: a part of the program, like a module."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plural": plural,
        "in_copies": in_copies,
        "counted": counted,
        "lines": _lines,
        "percent": lambda share: f"{share:.0%}",
        "seconds": lambda seconds: f"{seconds:,.1f} s",
        "moment": lambda at_ns, start_ns: f"{(at_ns - start_ns) / 1e9:+.3f} s",
    }
    return environment.from_string(_text("page.html.j2"))


def _shown(value: object) -> object:
    return value if isinstance(value, Markup) else shown(str(value), _VALUE_MAX)


def _lines(text: str) -> Markup:
    """*text*, of several lines, for a `pre` element."""
    return Markup("\n").join(printable(line) for line in shortened(text, _MESSAGE_MAX).strip().splitlines())
