"""Architecture of the morphology network, as it is kept in a bundle's ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass

from neanias_ml.datasets.cutout_store import FRAME


@dataclass(frozen=True, kw_only=True)
class MorphologyConfig:
    """Everything that fixes the shape of a `MorphologyNetwork`.

    Raises
    ------
    ValueError
        If a value is outside its range.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    """channels of each residual stage, 1 to 5 stages; each but the first halves the image"""
    blocks: tuple[int, ...] = (1, 1, 1)
    """residual blocks of each stage, as many as widths"""
    features: int = 64
    """width of the hidden layers, of the numbers and of what joins them with the image"""
    shrink: int = 1
    """pixels of a side of the image that are averaged to one first; 2 takes a quarter of the time and still samples the
    beam of objects of up to some 20 beams"""

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= 5 or len(self.blocks) != len(self.widths):
            raise ValueError(f"1 to 5 stages need as many widths as blocks, not {self.widths} and {self.blocks}")
        if min(*self.widths, *self.blocks, self.features, self.shrink) < 1:
            raise ValueError("widths, blocks, features and shrink must be at least 1")
        if FRAME % self.shrink:
            raise ValueError(f"shrink must divide the {FRAME} pixels of a cutout, which {self.shrink} does not")
