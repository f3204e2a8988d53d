"""Grouping the rows of a catalogue of any finder into physical objects, by a network that needs no map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neanias_ml.catalogue.association_nodes import merged_rows, offsets_from, row_roles
from neanias_ml.catalogue.association_objects import ObjectRows, links_of, measured_objects
from neanias_ml.catalogue.association_rows import ARCSEC, AssociationOptions, Rows, rows_of
from neanias_ml.catalogue.reading_sources import SourceList
from neanias_ml.inference.sky_groups import NodeGroups, Nodes, group_on_plane, group_on_sky

if TYPE_CHECKING:
    from neanias_ml.models.association.bundle import GraphBundle

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AssociatedCatalogue:
    """A catalogue with the objects that its rows belong to.

    Attributes
    ----------
    sources
        The catalogue.
    rows
        What was used of its rows.
    object_id
        (N,) object of each row, 1, 2, ... by first rows.
    association_probability
        (N,) least probability of the links that hold the object of each row together; NaN for rows that stay alone or
        have only rows of their own island beside them.
    objects
        One row per object.
    links
        (L, 2) pairs of rows that hold the objects of several rows together in the shortest way.
    beam_arcsec
        Beam width (geometric mean) in which lengths were counted.
    pixel_scale_arcsec
        Size of a pixel; NaN where it is not known and places are on the sky.
    notes
        What was assumed.
    """

    sources: SourceList
    rows: Rows
    object_id: IntArray
    association_probability: FloatArray
    objects: ObjectRows
    links: IntArray
    beam_arcsec: float
    pixel_scale_arcsec: float
    notes: tuple[str, ...]

    @property
    def n_members(self) -> IntArray:
        """(N,) rows of the object of each row."""
        return self.objects.n_members[self.object_id - 1]


def associate_catalogue(
    sources: SourceList, *, bundle: GraphBundle, options: AssociationOptions, progress: Progress
) -> AssociatedCatalogue:
    """Group the rows of a catalogue.

    Parameters
    ----------
    sources
        Islands or components of any finder.
    bundle
        A graph network that needs nothing but a catalogue.
    options
        What the catalogue does not say of itself.
    progress
        Called with ``association``, the patches of the sky done and the patches in all.

    Raises
    ------
    InputError
        As `neanias_ml.catalogue.association_rows.rows_of`.
    ModelError
        ``NeedsMap`` if the network wants what only a map shows.
    """
    rows, beam, notes = rows_of(sources, options=options)
    roles = row_roles(sources, rows.usable, join_islands=options.join_islands)
    nodes = merged_rows(rows, roles)
    width = float(np.sqrt(beam.major * beam.minor) * ARCSEC)
    groups = _node_groups(bundle, nodes, width, progress)
    alone = roles.island < 0
    key = np.where(alone, len(nodes) + np.arange(len(rows)), 0)
    key[~alone] = groups.object_of[roles.island[~alone]]
    object_id = _numbered(key)
    probability = np.full(len(rows), np.nan)
    probability[~alone] = groups.joined_probability[key[~alone]]
    objects = measured_objects(rows, object_id, counted=roles.counted, probability=probability)
    return AssociatedCatalogue(
        sources=sources,
        rows=rows,
        object_id=object_id,
        association_probability=probability,
        objects=objects,
        links=links_of(rows, object_id, counted=roles.counted),
        beam_arcsec=width,
        pixel_scale_arcsec=options.pixel_scale or sources.pixel_scale_arcsec or np.nan,
        notes=(*sources.notes, *notes),
    )


def _node_groups(bundle: GraphBundle, nodes: Rows, beam_arcsec: float, progress: Progress) -> NodeGroups:
    """Objects of nodes on the sky or on the plane of a map without sky."""
    measures = Nodes(
        peak_snr=nodes.peak_flux / nodes.rms,
        total_snr=nodes.total_flux / nodes.rms,
        major=nodes.major / beam_arcsec,
        minor=nodes.minor / beam_arcsec,
    )
    if nodes.on_sky:
        return group_on_sky(
            bundle, measures, ra=nodes.ra, dec=nodes.dec, pa=nodes.pa, beam_arcsec=beam_arcsec, progress=progress
        )
    x, y = nodes.east / beam_arcsec, nodes.north / beam_arcsec
    return group_on_plane(bundle, measures, x=x, y=y, angle=90.0 - nodes.pa, progress=progress)


def _numbered(key: IntArray) -> IntArray:
    """Numbers 1, 2, ... of values in the order in which they first occur."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(1, len(first) + 1)
    return rank[inverse.reshape(-1)]


def link_lengths(catalogue: AssociatedCatalogue) -> FloatArray:
    """(L,) arcsec from one end of each link to the other."""
    one, other = (catalogue.rows.select(end) for end in catalogue.links.T)
    offset = offsets_from(other, one)
    return np.hypot(offset[:, 0], offset[:, 1])
