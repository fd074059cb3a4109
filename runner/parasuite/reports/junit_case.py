"""One testcase of a JUnit file: its text, valid under Jenkins' junit-10 schema whatever a test prints."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape

from parasuite.model.results import Attempt, shortened

# Everything but the characters of XML 1.0, section 2.2: control characters, surrogates, U+FFFE and U+FFFF.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# ASCII that needs no escape, not even in an attribute: most names of tests.
_PLAIN = re.compile("[ !#-%'-;=?-~]*")
# A parser reads a bare line end in an attribute as a space; a character reference survives.
_IN_ATTRIBUTE = str.maketrans({"\n": "&#10;", "\r": "&#13;", "\t": "&#9;", '"': "&quot;"})
_MESSAGE_MAX = 1000
_BRIEF_MAX = 200


@dataclass(frozen=True)
class Case:
    """One testcase. *element*: "" for passed, else "failure", "error" or "skipped". *note*: system-out.

    *attempts*: those that failed before the test was run again; `flakyFailure` if it passed in the end, else
    `rerunFailure`.
    """

    classname: str
    name: str
    duration_s: float = 0.0
    element: str = ""
    message: str = ""
    text: str = ""
    attempts: tuple[Attempt, ...] = ()
    note: str = ""

    @property
    def brief(self) -> Case:
        """The same case in a few hundred characters; itself if it has no more anyway."""
        if not self.attempts and max(len(self.message), len(self.text), len(self.note)) <= _BRIEF_MAX:
            return self
        attempts = tuple(Attempt(attempt.message[:_BRIEF_MAX]) for attempt in self.attempts[:1])
        message, text = self.message[:_BRIEF_MAX], shortened(self.text, _BRIEF_MAX)
        return replace(self, message=message, text=text, attempts=attempts, note=shortened(self.note, _BRIEF_MAX))

    @property
    def elements(self) -> int:
        """How many elements of XML it is."""
        return 1 + bool(self.element) + len(self.attempts) + bool(self.note)

    @cached_property
    def xml(self) -> str:
        """The element `testcase`, a line. Kept, since it is needed twice: for its size, and in the file."""
        return "".join(self._parts())

    def _parts(self) -> Iterator[str]:
        head = f"  <testcase classname={attribute(self.classname)} name={attribute(self.name)}"
        head += f" time={seconds(self.duration_s)}"
        if self.elements == 1:
            yield head + "/>\n"
            return
        yield head + ">"
        if self.element:
            message = attribute(self.message[:_MESSAGE_MAX])
            yield f"<{self.element} message={message}>{content(self.text)}</{self.element}>"
        attempt_element = "rerunFailure" if self.element in ("failure", "error") else "flakyFailure"
        for attempt in self.attempts:
            message = attribute(attempt.message[:_MESSAGE_MAX])
            yield f'<{attempt_element} type="failed attempt" message={message}>{content(attempt.text)}'
            yield f"</{attempt_element}>"
        if self.note:
            yield f"<system-out>{content(self.note)}</system-out>"
        yield "</testcase>\n"


def clean(text: str) -> str:
    """*text* with every character that XML cannot carry shown as `#xNN`: shown, not dropped."""
    return _NOT_XML.sub(lambda found: f"#x{ord(found.group()):02X}", text)


def content(text: str) -> str:
    """*text* as the content of an element."""
    return escape(clean(text), quote=False)


def attribute(text: str) -> str:
    """*text* as the value of an attribute, quoted."""
    if _PLAIN.fullmatch(text):
        return f'"{text}"'
    return f'"{content(text).translate(_IN_ATTRIBUTE)}"'


def seconds(duration_s: float) -> str:
    """*duration_s* as the value of an attribute, quoted."""
    # The JUnit file of a command may contain any number, and the schema does not allow infinity.
    return f'"{max(0.0, duration_s):.3f}"' if math.isfinite(duration_s) else '"0.000"'
