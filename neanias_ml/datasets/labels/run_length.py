"""Masks as run lengths, as COCO keeps them: down the columns, zeros and ones in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RunLengthMask:
    """A mask of an image by its run lengths.

    Attributes
    ----------
    shape
        Rows and columns of the image.
    runs
        Lengths of the runs of zeros, ones, zeros, ... of the pixels column by column, row 0 first; their sum is the
        number of pixels.

    Raises
    ------
    ValueError
        If the runs do not fill the image or one is negative.
    """

    shape: tuple[int, int]
    runs: tuple[int, ...] = field(repr=False)

    def __post_init__(self) -> None:
        size = self.shape[0] * self.shape[1]
        if any(run < 0 for run in self.runs) or sum(self.runs) != size:
            raise ValueError(f"run lengths that sum to {sum(self.runs)} do not fill {size} pixels of {self.shape}")

    @classmethod
    def of(cls, mask: Mask) -> RunLengthMask:
        """The runs of a mask (ny, nx)."""
        pixels = np.flatnonzero(np.asarray(mask, dtype=bool).T)
        return cls.of_pixels(pixels, shape=(mask.shape[0], mask.shape[1]))

    @classmethod
    def of_pixels(cls, pixels: IntArray, *, shape: tuple[int, int]) -> RunLengthMask:
        """The runs of ascending pixel indices ``column * ny + row``."""
        return cls(shape, tuple(run_lengths(pixels, shape[0] * shape[1]).tolist()))

    @classmethod
    def from_text(cls, text: str, *, shape: tuple[int, int]) -> RunLengthMask:
        """The runs of COCO's compressed text form.

        Raises
        ------
        ValueError
            If the text is not of that form or does not fill the image.
        """
        return cls(shape, tuple(expand_runs(text)))

    @classmethod
    def of_polygons(cls, polygons: Sequence[Sequence[float]], *, shape: tuple[int, int]) -> RunLengthMask:
        """The union of COCO's polygons, pixel by pixel as COCO's own tools rasterise them.

        Parameters
        ----------
        polygons
            Vertices ``x, y, x, y, ...`` of each; the pixel in column 0 reaches from 0 to 1.
        shape
            Rows and columns of the image; what lies outside is cut off.

        Raises
        ------
        ValueError
            If a polygon has fewer than three vertices, an odd number of values or one that is not finite.
        """
        union = np.zeros(shape[0] * shape[1], dtype=bool)
        for polygon in polygons:
            start, inside = _filled(_polygon_vertices(polygon), shape)
            union[start : start + inside.size] |= inside
        return cls.of_pixels(np.flatnonzero(union), shape=shape)

    @property
    def text(self) -> str:
        """COCO's compressed text form."""
        return compress_runs(np.array(self.runs, dtype=np.int64))

    @cached_property
    def area(self) -> int:
        """Number of pixels inside."""
        return int(sum(self.runs[1::2]))

    def pixels(self) -> Mask:
        """(ny, nx) bool."""
        inside = np.zeros(len(self.runs), dtype=bool)
        inside[1::2] = True
        flat = np.repeat(inside, np.array(self.runs, dtype=np.int64))
        return np.ascontiguousarray(flat.reshape(self.shape[1], self.shape[0]).T)

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Half-open box ``x0, y0, x1, y1`` of the pixels inside; zeros for an empty mask."""
        if self.area == 0:
            return 0, 0, 0, 0
        mask = self.pixels()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


POLYGON_UPSAMPLING = 5
"""Polygons are drawn on a grid so many times finer than the pixels (COCO's choice)."""


def _polygon_vertices(polygon: Sequence[float]) -> NDArray[np.float64]:
    """(V, 2) vertices x, y."""
    values = np.asarray(polygon, dtype=np.float64)
    if values.ndim != 1 or values.size < 6 or values.size % 2:
        raise ValueError(f"a polygon needs at least three pairs of coordinates, not {values.size} numbers")
    if not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        raise ValueError("a polygon has a coordinate that is no position in an image")
    return values.reshape(-1, 2)


def _filled(vertices: NDArray[np.float64], shape: tuple[int, int]) -> tuple[int, Mask]:
    """Pixels ``column * ny + row`` inside a polygon, from a first one on, by COCO's rule (Lin et al. 2014).

    The outline is drawn on the finer grid; wherever it passes the middle of a column of pixels, all pixels below
    change between outside and inside.
    """
    height, width = shape
    u, v = _drawn_outline(vertices)
    passes = np.flatnonzero(np.diff(u))
    middle = POLYGON_UPSAMPLING // 2
    left = np.minimum(u[passes], u[passes + 1])
    at_centre = (left % POLYGON_UPSAMPLING == middle) & (left >= 0) & (left < width * POLYGON_UPSAMPLING)
    passes, left = passes[at_centre], left[at_centre]
    top = (np.minimum(v[passes], v[passes + 1]) + 0.5) / POLYGON_UPSAMPLING - 0.5
    rows = np.ceil(np.clip(top, 0, height)).astype(np.int64)
    columns = left // POLYGON_UPSAMPLING
    if columns.size == 0:
        return 0, np.zeros(0, dtype=bool)
    first, last = int(columns.min()), int(columns.max())
    size = (last + 1 - first) * height
    changes = np.bincount((columns - first) * height + rows, minlength=size)[:size]
    return first * height, np.asarray(np.cumsum(changes) % 2 == 1)


def _drawn_outline(vertices: NDArray[np.float64]) -> tuple[IntArray, IntArray]:
    """Steps of the closed outline on the finer grid: whole columns and rows, one step of the longer axis at a time."""
    grid = np.trunc(POLYGON_UPSAMPLING * vertices + 0.5).astype(np.int64)
    start, stop = grid, np.roll(grid, -1, axis=0)
    span = np.abs(stop - start)
    flat = span[:, 0] >= span[:, 1]
    lengths = span.max(axis=1)
    # every line is drawn from its lower end, so that both directions round alike
    along = np.where(flat, start[:, 0] > stop[:, 0], start[:, 1] > stop[:, 1])
    first, last = np.where(along[:, None], stop, start), np.where(along[:, None], start, stop)
    rise = np.where(flat, (last - first)[:, 1], (last - first)[:, 0]) / np.maximum(lengths, 1)
    line = np.repeat(np.arange(len(grid)), lengths + 1)
    step = np.arange(line.size) - np.repeat(np.cumsum(lengths + 1) - (lengths + 1), lengths + 1)
    step = np.where(along[line], lengths[line] - step, step)
    across = np.where(flat, first[:, 1], first[:, 0])[line]
    minor = np.trunc(across + rise[line] * step + 0.5).astype(np.int64)
    major = np.where(flat, first[:, 0], first[:, 1])[line] + step
    return np.where(flat[line], major, minor), np.where(flat[line], minor, major)


def run_lengths(pixels: IntArray, size: int) -> IntArray:
    """COCO run lengths (zeros, ones, zeros, ...) of ascending pixel indices in an image of ``size`` pixels."""
    if pixels.size == 0:
        return np.array([size], dtype=np.int64)
    breaks = np.flatnonzero(np.diff(pixels) != 1)
    starts = pixels[np.concatenate([[0], breaks + 1])]
    stops = pixels[np.concatenate([breaks, [pixels.size - 1]])] + 1
    edges = np.empty(2 * starts.size + 2, dtype=np.int64)
    edges[0], edges[1:-1:2], edges[2:-1:2], edges[-1] = 0, starts, stops, size
    runs = np.diff(edges)
    return runs[:-1] if runs[-1] == 0 else runs


def compress_runs(runs: IntArray) -> str:
    """The text form of run lengths that COCO's tools read.

    From the fourth on, a run is stored as its difference from the one two before it; each number is cut in groups
    of five bits, low first, with a sixth bit that says whether more follow, and written as characters from ``0`` on.
    """
    characters = []
    for index, run in enumerate(runs.tolist()):
        value = run - int(runs[index - 2]) if index > 2 else run
        while True:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            characters.append(chr((group | (0x20 if more else 0)) + 48))
            if not more:
                break
    return "".join(characters)


def expand_runs(text: str) -> list[int]:
    """Run lengths from the text form of `compress_runs`; raises ValueError where it is not of that form."""
    runs: list[int] = []
    value, shift = 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise ValueError(f"{character!r} is no character of compressed run lengths")
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError("the text of compressed run lengths ends within a number")
    return runs
