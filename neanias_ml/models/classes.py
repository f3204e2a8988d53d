"""The classes of the detector, in the order of its outputs (CAESAR's vocabulary)."""

from __future__ import annotations

CLASS_NAMES = ("spurious", "compact", "extended", "extended-multisland", "flagged")
"""Index in this tuple + 1 is the label and the COCO category id; 0 is background."""

CLASS_LABELS = {name: index + 1 for index, name in enumerate(CLASS_NAMES)}
