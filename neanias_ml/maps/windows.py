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

    def contains(self, x: float, y: float) -> bool:
        """Whether the pixel that holds position (x, y) lies in the window (pixel centres are integers)."""
        return self.x0 - 0.5 <= x < self.x1 - 0.5 and self.y0 - 0.5 <= y < self.y1 - 0.5


@dataclass(frozen=True)
class Tile:
    """A core that owns what is anchored in it, and the wider window that is read for it."""

    core: Window
    window: Window


def tile_grid(shape: tuple[int, int], *, core: int, halo: int = 0) -> Iterator[Tile]:
    """Tiles whose cores cover a map of ``shape`` exactly once, anchored at pixel (0, 0)."""
    for y0 in range(0, shape[0], core):
        for x0 in range(0, shape[1], core):
            inner = Window(y0, min(y0 + core, shape[0]), x0, min(x0 + core, shape[1]))
            yield Tile(core=inner, window=inner.expanded(halo, shape=shape))
