"""The exponential function in a form that compilers turn into vector instructions; a call of the C library is none."""

from __future__ import annotations

import math

import numpy as np

from neanias_ml.extraction.components.compilation import compiled

PER_LN2 = 1.0 / math.log(2.0)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""The logarithm of 2 in two parts: multiples of the first are exact for exponents of float64."""
ROUNDING = 1.5 * 2.0**52
"""Added to a number it leaves the nearest integer in the last bits."""
EXPONENT_BIAS, MANTISSA_BITS = 1023, 52
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 = (1.0 / math.factorial(power) for power in range(2, 14))


@compiled
def exponential(x: float) -> float:
    """exp(x) to 3e-16 of its value for -708 <= x <= 709; nonsense beyond, NaN for NaN.

    The argument is split into a multiple of ln 2 and a rest of at most half of it (Cody and Waite 1980), whose
    exponential is its Taylor polynomial; the power of 2 is written into the exponent.
    """
    shifted = x * PER_LN2 + ROUNDING
    multiple = shifted - ROUNDING
    r = (x - multiple * LN2_HIGH) - multiple * LN2_LOW
    series = C8 + r * (C9 + r * (C10 + r * (C11 + r * (C12 + r * C13))))
    series = C2 + r * (C3 + r * (C4 + r * (C5 + r * (C6 + r * (C7 + r * series)))))
    power = (np.float64(shifted).view(np.int64) + EXPONENT_BIAS) << MANTISSA_BITS
    return (1.0 + (r + r * r * series)) * np.int64(power).view(np.float64)
