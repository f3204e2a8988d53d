"""The restoring beam of a map."""

from __future__ import annotations

import math
from dataclasses import dataclass

FWHM_PER_SIGMA = math.sqrt(8.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian in units of its standard deviation (2.3548)."""


@dataclass(frozen=True)
class Beam:
    """Gaussian restoring beam on the sky.

    Attributes
    ----------
    major, minor
        Full widths at half maximum, degrees, ``major >= minor > 0``.
    position_angle
        Angle of the major axis, degrees east of north.
    """

    major: float
    minor: float
    position_angle: float = 0.0

    def __post_init__(self) -> None:
        values = (self.major, self.minor, self.position_angle)
        if not all(math.isfinite(value) for value in values) or self.minor <= 0:
            raise ValueError(f"a beam needs finite, positive axes, not {self.major} x {self.minor} deg")
        if self.minor > self.major:
            raise ValueError(f"the beam's minor axis ({self.minor}) exceeds its major axis ({self.major})")

    @property
    def area(self) -> float:
        """Solid angle under the Gaussian, square degrees."""
        return 2.0 * math.pi * self.major * self.minor / FWHM_PER_SIGMA**2

    def __str__(self) -> str:
        return f'{self.major * 3600:.2f}" x {self.minor * 3600:.2f}", PA {self.position_angle:.0f} deg'
