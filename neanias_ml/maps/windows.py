"""Rectangular windows of a map and the grids they form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Window:
    """Half-open pixel box ``[y0, y1) x [x0, x1)`` of a map (0-based pixels)."""

    y0: int
    y1: int
    x0: int
    x1: int

    def __post_init__(self) -> None:
        if self.y1 <= self.y0 or self.x1 <= self.x0:
            raise ValueError(f"empty window y[{self.y0}:{self.y1}], x[{self.x0}:{self.x1}]")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an array of the whole map."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def expanded(self, margin: int, *, shape: tuple[int, int]) -> Window:
        """The window widened by ``margin`` pixels on each side, cut at the map's edges."""
        return Window(
            max(0, self.y0 - margin),
            min(shape[0], self.y1 + margin),
            max(0, self.x0 - margin),
            min(shape[1], self.x1 + margin),
        )


def tile_grid(shape: tuple[int, int], *, size: int) -> Iterator[Window]:
    """Windows of side ``size`` that cover a map of ``shape`` exactly once, anchored at pixel (0, 0)."""
    for y0 in range(0, shape[0], size):
        for x0 in range(0, shape[1], size):
            yield Window(y0, min(y0 + size, shape[0]), x0, min(x0 + size, shape[1]))
