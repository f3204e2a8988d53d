"""The words of DS9 region files: shapes, positions, angles and sizes, whoever reads them."""

from __future__ import annotations

import re

SHAPE = re.compile(r"^\s*(?P<sign>[-+]?)\s*(?P<shape>[A-Za-z]+)\s*[( ](?P<numbers>[^)]*)\)?")
"""A shape with its sign and its numbers."""
_SIZE_UNITS = {'"': 1.0 / 3600.0, "'": 1.0 / 60.0, "d": 1.0, "r": 57.29577951308232}


def words_of(numbers: str) -> list[str]:
    """The numbers of a shape, one by one."""
    return [word for word in re.split(r"[,\s]+", numbers.strip()) if word]


def position_of(first: str, second: str, system: str) -> tuple[float, float]:
    """Degrees, or 0-based pixels (DS9 counts from 1); raises ValueError where a word is no angle."""
    if system == "image":
        return float(first.rstrip("ip")) - 1.0, float(second.rstrip("ip")) - 1.0
    in_hours = (":" in first or "h" in first) and system != "galactic"
    return angle_of(first) * (15.0 if in_hours else 1.0), angle_of(second)


def positions_of(words: list[str], system: str) -> list[tuple[float, float]]:
    """Vertices of a polygon; raises ValueError where there are fewer than three, or half a one."""
    if len(words) < 6 or len(words) % 2:
        raise ValueError("a polygon needs at least three pairs of coordinates")
    return [position_of(words[i], words[i + 1], system) for i in range(0, len(words), 2)]


def angle_of(word: str) -> float:
    """A plain number, or one with minutes and seconds; raises ValueError where it is neither."""
    if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?d?", word, re.IGNORECASE):
        return float(word.rstrip("dD"))
    parts = [float(part) for part in re.split(r"[:hmsd]", word.lstrip("+-")) if part]
    if not 1 <= len(parts) <= 3:
        raise ValueError(f"{word} is no angle")
    return (-1.0 if word.startswith("-") else 1.0) * sum(part / 60.0**power for power, part in enumerate(parts))


def size_of(word: str, system: str) -> float:
    """Degrees, or pixels; a number without a mark is in degrees on the sky.

    Raises
    ------
    ValueError
        If the word is no size, or in pixels where the position is on the sky.
    """
    if system == "image":
        return float(word.rstrip("ip"))
    if word[-1] in ("i", "p"):
        raise ValueError(f"the size {word} is in pixels, but the position on the sky")
    return float(word.rstrip("\"'dr")) * _SIZE_UNITS.get(word[-1], 1.0)
