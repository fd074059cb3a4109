"""Words that several reports share: plurals, and a finding in plain text."""

from __future__ import annotations

from collections.abc import Iterator

from parasuite.findings import Finding


def plural(count: int, noun: str) -> str:
    """`1 test`, `2 tests`, `3 copies`, `4 processes`."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun.removesuffix('y')}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def finding_lines(finding: Finding, start_ns: int, *, sides_max: int | None = None) -> Iterator[str]:
    """A finding in plain text: what, its sides, how often, what to write instead.

    With *sides_max*, no more sides than that and no command lines: for a reader at a terminal.
    """
    yield finding.message
    shown = finding.sides[:sides_max]
    for side in shown:
        owner = "outside the run" if side.copy is None else f"copy {side.copy}"
        facts = [f"pid {side.pid}" if side.pid else "", side.process, side.test, side.source]
        if side.since_ns is not None:
            facts.append(f"since {(side.since_ns - start_ns) / 1e9:.2f} s")
        if side.options:
            facts.append("+".join(side.options))
        told = f" ({side.attribution})" if side.attribution else ""
        yield f"  {side.role}: {owner}, " + ", ".join(fact for fact in facts if fact) + told
        if side.command and sides_max is None:
            yield f"      {side.command}"
    if len(finding.sides) > len(shown):
        yield f"  and {plural(len(finding.sides) - len(shown), 'more side')}: see findings.json"
    if finding.window_ms is not None:
        yield f"  window: {finding.window_ms:.1f} ms"
    yield f"  evidence: {finding.evidence}, seen {plural(finding.count, 'time')}, id {finding.id}"
    yield f"hint: {finding.hint}"
