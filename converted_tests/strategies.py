"""Hypothesis strategies that several modules of the corpus share."""

from __future__ import annotations

from hypothesis import strategies as st

line_text = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=60)
"""One line of ASCII, control characters included, without an ending."""

wire_bytes = st.binary(max_size=400)
"""Anything that a hostile server may send."""


@st.composite
def pieces_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """*data* cut anywhere, into any number of non-empty pieces: how a network may deliver it."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12)))
    return [piece for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if (piece := data[start:end])]
