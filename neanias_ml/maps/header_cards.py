"""Tolerant parsing of FITS header cards from raw bytes.

Header values of real maps are often a little wrong: tabs, accented letters in comments, quoted numbers,
FORTRAN ``D`` exponents. The parser here never raises and never warns: a value that cannot be understood is absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

CARD_BYTES = 80
BLOCK_BYTES = 2880

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d+)?")
_PRINTABLE = bytes(range(32, 127))


@dataclass(frozen=True)
class HeaderCards:
    """Keywords and values of one FITS header.

    Attributes
    ----------
    values
        Pairs of keyword and the text of its value field; strings are unquoted. Of a repeated keyword the first counts.
    history
        Text of the HISTORY cards, in order.
    repaired
        Whether bytes that FITS does not allow were replaced (tabs are tolerated and do not count).
    """

    values: dict[str, str]
    history: tuple[str, ...] = ()
    repaired: bool = False

    @classmethod
    def parse(cls, raw: bytes) -> HeaderCards:
        """Parse the bytes of a header up to its END card."""
        text, repaired = _printable(raw)
        values: dict[str, str] = {}
        history: list[str] = []
        for start in range(0, len(text) - CARD_BYTES + 1, CARD_BYTES):
            card = text[start : start + CARD_BYTES]
            keyword = card[:8].strip().upper()
            if keyword == "END":
                break
            if keyword == "HISTORY":
                history.append(card[8:].rstrip())
            elif card[8:9] == "=" and keyword:
                values.setdefault(keyword, _value_field(card[9:]))
        return cls(values=values, history=tuple(history), repaired=repaired)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.values

    def text(self, keyword: str) -> str:
        """Value as text without surrounding blanks; empty when absent."""
        return self.values.get(keyword, "").strip()

    def number(self, keyword: str) -> float | None:
        """Value as a float; None when absent or not a number. May be infinite for absurd exponents."""
        text = self.text(keyword)
        if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            return math.nan
        if not _NUMBER.fullmatch(text):
            return None
        return float(text.upper().replace("D", "E"))

    def integer(self, keyword: str) -> int | None:
        """Value as an integer; None when absent or not one."""
        text = self.text(keyword)
        return int(text) if re.fullmatch(r"[+-]?\d{1,30}", text) else None

    def is_true(self, keyword: str) -> bool:
        """Whether the value is the logical T."""
        return self.text(keyword).upper() == "T"

    def matching(self, pattern: str) -> Iterator[tuple[re.Match[str], float]]:
        """Numeric cards whose keyword matches ``pattern`` fully, with the match."""
        for keyword in self.values:
            match = re.fullmatch(pattern, keyword)
            value = self.number(keyword) if match else None
            if match and value is not None:
                yield match, value


def _printable(raw: bytes) -> tuple[str, bool]:
    tolerated = raw.replace(b"\t", b" ")
    repaired = bool(tolerated.translate(None, delete=_PRINTABLE))
    if repaired:
        tolerated = bytes(byte if 32 <= byte < 127 else ord("?") for byte in tolerated)
    return tolerated.decode("ascii"), repaired


def _value_field(field: str) -> str:
    field = field.strip()
    if field.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'?", field)
        return match.group(1).replace("''", "'").rstrip() if match else ""
    return field.split("/", 1)[0].strip()
