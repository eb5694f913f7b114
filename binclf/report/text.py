r"""Text from the data made harmless: what cannot be seen is spelled out, and length is bounded.

A name may hold line breaks, control characters, or marks that turn the direction of what follows it (a level
`a\u202etxt` reads as if it were another). They are told as escapes, as a programmer would write them. Marks
of HTML are the template's to escape, those of Markdown `markdown`'s.
"""

from __future__ import annotations

MOST = 80  # characters of a name or a level
MARKS = "\\`|<>[]*_~&$"


def plain(text: object, most: int = MOST) -> str:
    r"""Text of which each character can be seen, at most so long.

    >>> plain("a\nb"), plain("\u202egnp"), plain("x" * 9, most=4)
    ('a\\nb', '\\u202egnp', 'xxx…')
    """
    whole = str(text)
    seen = "".join(c if c.isprintable() else _escape(c) for c in whole[: most + 1])
    return seen if len(whole) <= most and len(seen) <= most else seen[: most - 1] + "…"


def markdown(text: object, most: int = MOST) -> str:
    """`plain`, with the marks of Markdown and HTML escaped."""
    return "".join("\\" + c if c in MARKS else c for c in plain(text, most))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
