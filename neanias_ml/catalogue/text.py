"""Text that came with a file (names, header values) made safe for every format that is written."""

from __future__ import annotations

import re

_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    r"""One line of visible characters.

    Control characters, undecodable bytes of file names (lone surrogates), text-direction overrides and what XML
    forbids are written as ``\xNN`` or ``\uNNNN``, so that a name is legal in XML, YAML, JSON, HTML and DS9 files.
    """
    return _UNWRITABLE.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode(), str(text))


def ascii_printable(text: object) -> str:
    """`printable` text with what is not ASCII escaped too, for FITS cards and DS9 region files."""
    return printable(text).encode("ascii", "backslashreplace").decode()
