"""How each class looks, the same in regions, pictures and the report.

Colours are those of Okabe and Ito (2008), which people with any colour vision can tell apart; line styles and
markers differ as well, so that no class is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neanias_ml.models.classes import CLASS_NAMES


@dataclass(frozen=True)
class ClassStyle:
    """Look of one class.

    Attributes
    ----------
    colour
        ``#rrggbb``.
    dashes
        Lengths of dash and gap in line widths; empty for a solid line.
    marker
        Matplotlib marker for sources too small to be outlined.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str


STYLES = {
    "spurious": ClassStyle("#d55e00", (1.0, 1.5), "x"),
    "compact": ClassStyle("#56b4e9", (), "o"),
    "extended": ClassStyle("#e69f00", (), "s"),
    "extended-multisland": ClassStyle("#cc79a7", (5.0, 1.5), "D"),
    "flagged": ClassStyle("#f0e442", (3.0, 1.5, 1.0, 1.5), "^"),
    "diffuse": ClassStyle("#0072b2", (6.0, 2.0), "h"),
    "nested": ClassStyle("#009e73", (2.0, 1.0), "v"),
}
OTHER = ClassStyle("#999999", (1.0, 1.0), "+")
"""Look of a class that a model calls by a name of its own."""


def style_of(class_name: str) -> ClassStyle:
    """The look of a class or kind of island."""
    return STYLES.get(class_name, OTHER)


def in_order(class_names: Iterable[str]) -> list[str]:
    """Distinct class names in the order of `CLASS_NAMES`, others after them by name."""
    known = (*CLASS_NAMES, "diffuse", "nested")
    return sorted(set(class_names), key=lambda name: (known.index(name) if name in known else len(known), name))
