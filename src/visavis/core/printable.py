"""Text of unknown origin, made fit for a terminal: what could move the cursor or recolour is spelled out."""

from __future__ import annotations


def printable(text: object) -> str:
    """Return ``text`` with everything that has no glyph of its own escaped, as in ``\\x1b``.

    Among that are control codes, line breaks, marks that turn the direction of writing, and the halves of code points
    that broken names decode to. Letters of all scripts stay.
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in str(text))
