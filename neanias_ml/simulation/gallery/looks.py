"""How classes are drawn, whoever decides it: pictures of this room and those above it ask for these two things."""

from __future__ import annotations

from typing import Protocol


class Look(Protocol):
    """How a class is drawn: colour and dashes, so that none is told by colour alone."""

    @property
    def colour(self) -> str:
        """``#rrggbb``."""
        ...

    @property
    def dashes(self) -> tuple[float, ...]:
        """Lengths of dash and gap in line widths; empty for a solid line."""
        ...
