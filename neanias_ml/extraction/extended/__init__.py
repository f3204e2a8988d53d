"""Search for extended emission: starlet, saliency, clustering, active contours, and all evidence fused.

`find_extended` is in `search`, apart from the settings: it loads scipy.signal and scikit-image, which only those who
search need to wait for.
"""

from neanias_ml.extraction.extended.config import METHODS, ExtendedConfig

__all__ = ["METHODS", "ExtendedConfig"]
