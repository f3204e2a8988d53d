"""neanias_ml: radio maps to classified source catalogues."""

from __future__ import annotations

__version__ = "0.1.0"
