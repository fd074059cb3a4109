"""A page as one file that makes no request: a template of this package with its style and scripts inside.

Names of tests, command lines and messages are hostile text. The template escapes every value (autoescape), and first
makes it printable, so that no mark of direction reorders a line. What the scripts draw comes as JSON, and they set it
as text only. The page's Content-Security-Policy allows its own script and style, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from parasuite.model.results import shortened
from parasuite.reports.moments import moment as date_and_time
from parasuite.reports.page.columns import shown
from parasuite.reports.rates import on_hosts, rate
from parasuite.reports.wording import counted, in_copies, plural, printable

_VALUE_MAX = 1_000
_MESSAGE_MAX = 4_000


def rendered(template: str, scripts: Sequence[str], **values: object) -> str:
    """The whole text of a page, from the *template* and the *scripts* of these names. *values*: for the template."""
    style, script = _text("page.css"), "".join(map(_text, scripts))
    policy = _policy(style, script)
    page = _environment().get_template(template)
    return page.render(policy=policy, style=Markup(style), script=Markup(script), **values)


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
def _environment() -> Environment:
    environment = Environment(
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_text),
    )
    environment.filters |= {
        "plural": plural,
        "in_copies": in_copies,
        "counted": counted,
        "lines": _lines,
        "percent": lambda share: f"{share:.0%}",
        "seconds": lambda seconds: f"{seconds:,.1f} s",
        "moment": lambda at_ns, start_ns: f"{(at_ns - start_ns) / 1e9:+.3f} s",
        "started": lambda started_s: date_and_time(started_s).replace("T", " ").removesuffix("Z"),
        "rate": rate,
        "on_hosts": on_hosts,
    }
    return environment


def _shown(value: object) -> object:
    return value if isinstance(value, Markup) else shown(str(value), _VALUE_MAX)


def _lines(text: str) -> Markup:
    """*text*, of several lines, for a `pre` element."""
    return Markup("\n").join(printable(line) for line in shortened(text, _MESSAGE_MAX).strip().splitlines())
