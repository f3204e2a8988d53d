"""Pixels as PNG files."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

COMPRESSION = 3
"""Level of zlib: on noise the default, 6, takes twice as long and saves nothing."""


def png_file(pixels: NDArray[np.uint8], *, dpi: int | None = None) -> bytes:
    """A PNG file of (h, w) greys or (h, w, 3) red, green, blue, first row at the top."""
    from PIL import Image

    resolution = {} if dpi is None else {"dpi": (dpi, dpi)}
    content = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, format="png", compress_level=COMPRESSION, **resolution)
    return content.getvalue()


def without_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3) pixels as (h, w) where all of them are grey; else as they are."""
    first = pixels[..., :1]
    return pixels[..., 0] if np.array_equal(np.broadcast_to(first, pixels.shape), pixels) else pixels


def png_address(content: bytes) -> str:
    """A PNG file as a data address."""
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
