"""Architecture of the morphology network, as it is kept in a bundle's ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass


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
    """width of the hidden layer that joins image and numbers"""

    def __post_init__(self) -> None:
        if not 1 <= len(self.widths) <= 5 or len(self.blocks) != len(self.widths):
            raise ValueError(f"1 to 5 stages need as many widths as blocks, not {self.widths} and {self.blocks}")
        if min(*self.widths, *self.blocks, self.features) < 1:
            raise ValueError("widths, blocks and features must be at least 1")
