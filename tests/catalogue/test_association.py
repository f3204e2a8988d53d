"""Grouping of catalogues: what is taken from columns, what is asked for, sums and sizes of islands and objects."""

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from neanias_ml.catalogue.association import associate_catalogue, link_lengths
from neanias_ml.catalogue.association_files import association_counts, objects_table, rows_table
from neanias_ml.catalogue.association_nodes import merged_rows, row_roles
from neanias_ml.catalogue.association_rows import AssociationOptions, rows_of
from neanias_ml.catalogue.reading_sources import CatalogueColumns, sources_of
from neanias_ml.errors import InputError, UsageError
from neanias_ml.maps import Beam
from neanias_ml.models.association.bundle import GraphBundle, GraphSettings
from neanias_ml.models.association.config import IslandGraphConfig
from neanias_ml.models.association.grouping import Grouping
from neanias_ml.models.association.network import IslandGraphNetwork
from tests.inference.test_sky_groups import linked

BEAM = Beam(10 / 3600, 10 / 3600, 0.0)
OPTIONS = AssociationOptions(beam=BEAM)


@pytest.fixture
def bundle(monkeypatch):
    """A rule instead of a network: nodes nearer than four beams are joined."""

    def group(bundle, graph):
        object_of = linked(graph.islands.positions) if len(graph) else np.empty(0, dtype=np.int64)
        several = np.bincount(object_of) > 1
        unknown = np.full((len(several), 5), np.nan)
        return Grouping(object_of, np.full(len(graph), np.nan), unknown, np.where(several, 0.7, np.nan))

    monkeypatch.setattr("neanias_ml.inference.sky_groups.group_islands", group)
    torch.manual_seed(1)
    architecture = IslandGraphConfig(features="catalogue")
    return GraphBundle(IslandGraphNetwork(architecture).eval(), GraphSettings.of(architecture), "0" * 64)


def double(**columns):
    """Two rows 30 arcsec apart along declination, 3 and 1 mJy, and a third far off."""
    table = Table()
    table["ra"], table["dec"] = [10.0, 10.0, 10.5] * u.deg, [-30.0, -30.0 + 30 / 3600, -30.0] * u.deg
    table["total_flux"] = [3.0, 1.0, 5.0] * u.mJy
    table["peak_flux"] = [2.0, 1.0, 5.0] * u.mJy / u.beam
    table["local_rms"] = [0.1, 0.1, 0.1] * u.mJy / u.beam
    table["major"], table["minor"] = [14.0, 12.0, 10.0] * u.arcsec, [10.0, 10.0, 10.0] * u.arcsec
    table["pa"] = [0.0, 0.0, 45.0] * u.deg
    for name, values in columns.items():
        table[name] = values
    return table


def associated(table, bundle, *, options=OPTIONS, columns=None):
    sources = sources_of(table, columns=columns)
    return associate_catalogue(sources, bundle=bundle, options=options, progress=lambda *call: None)


def test_near_rows_become_an_object_with_its_position_size_and_flux(bundle):
    found = associated(double(), bundle)
    np.testing.assert_array_equal(found.object_id, [1, 1, 2])
    np.testing.assert_array_equal(found.n_members, [2, 2, 1])
    np.testing.assert_allclose(found.association_probability, [0.7, 0.7, np.nan])
    objects = found.objects
    np.testing.assert_allclose(objects.total_flux, [4e-3, 5e-3])
    np.testing.assert_allclose(objects.peak_flux, [2e-3, 5e-3])
    np.testing.assert_allclose(objects.dec, [-30 + 7.5 / 3600, -30], atol=1e-9)
    np.testing.assert_allclose(objects.ra, [10.0, 10.5], atol=1e-9)
    # half of both major axes beyond the two centres, all along declination
    np.testing.assert_allclose(objects.largest_angular_size, [30 + 7 + 6, 10], rtol=1e-4)
    assert min(objects.position_angle[0], 180 - objects.position_angle[0]) < 0.1
    assert found.links.tolist() == [[0, 1]]
    np.testing.assert_allclose(link_lengths(found), [30.0], rtol=1e-6)
    assert association_counts(found) == {
        "rows": 3, "objects": 2, "objects_of_several_rows": 1, "rows_in_them": 2, "links": 1,
    }  # fmt: skip


def test_largest_size_is_that_of_astropy_for_distant_rows(bundle):
    """Rows in a chain at high declination and across right ascension 0."""
    ra, dec = np.array([359.99, 0.0, 0.01]), np.array([70.0, 70.002, 70.004])
    table = double(ra=ra * u.deg, dec=dec * u.deg, major=[10.0] * 3 * u.arcsec, total_flux=[1.0] * 3 * u.mJy)
    found = associated(table, bundle)
    assert len(found.objects) == 1
    ends = SkyCoord(ra * u.deg, dec * u.deg)
    expected = ends[0].separation(ends[2]).arcsec + 10.0
    assert found.objects.largest_angular_size[0] == pytest.approx(expected, rel=5e-3)
    assert found.objects.position_angle[0] == pytest.approx(ends[0].position_angle(ends[2]).deg % 180, abs=1.0)
    assert abs((found.objects.ra[0] + 180) % 360 - 180) < 1e-3


def test_components_of_one_island_are_put_together_by_their_moments():
    table = double(island_id=[4, 4, 9], total_flux=[2.0, 2.0, 5.0] * u.mJy, major=[10.0] * 3 * u.arcsec)
    sources = sources_of(table)
    rows, _, _ = rows_of(sources, options=OPTIONS)
    roles = row_roles(sources, rows.usable, join_islands=True)
    nodes = merged_rows(rows, roles)
    assert roles.island.tolist() == [0, 0, 1] and len(nodes) == 2
    # variance along declination: that of a component, and 15 arcsec on either side
    expected = np.sqrt(10.0**2 + 8 * np.log(2) * 15.0**2)
    assert nodes.major[0] == pytest.approx(expected, rel=1e-6) and nodes.minor[0] == pytest.approx(10.0)
    assert nodes.pa[0] == pytest.approx(0.0, abs=1e-6) or nodes.pa[0] == pytest.approx(180.0)
    assert nodes.total_flux[0] == pytest.approx(4e-3) and nodes.peak_flux[0] == pytest.approx(2e-3)
    assert nodes.dec[0] == pytest.approx(-30 + 15 / 3600, abs=1e-9)
    apart = row_roles(sources, rows.usable, join_islands=False)
    assert apart.island.tolist() == [0, 1, 2]


def test_islands_join_far_components_and_rows_without_island_none(bundle):
    table = double(dec=[-30.0, -29.9, -30.0] * u.deg, island_id=["a", "a", ""])
    joined = associated(table, bundle)
    np.testing.assert_array_equal(joined.object_id, [1, 1, 2])
    assert np.isnan(joined.association_probability).all()  # no link was asked for
    apart = associated(table, bundle, options=AssociationOptions(beam=BEAM, join_islands=False))
    np.testing.assert_array_equal(apart.object_id, [1, 2, 3])


def test_nested_islands_go_with_their_mother_and_diffuse_ones_stay_alone(bundle):
    table = double(
        island_id=[1, 2, 3], parent_id=[0, 1, 0], level=[0, 1, 0], kind=["extended", "nested", "diffuse"],
        x=[0.0, 0, 0], y=[0.0, 0, 0],
    )  # fmt: skip
    found = associated(table, bundle)
    np.testing.assert_array_equal(found.object_id, [1, 1, 2])
    assert found.objects.total_flux[0] == pytest.approx(3e-3)  # the mother's holds the daughter's
    assert len(found.links) == 0


@pytest.mark.parametrize("row", ["ra", "dec", "total_flux", "local_rms"])
def test_rows_that_lack_something_stay_alone(bundle, row):
    table = double(dec=[-30.0] * 3 * u.deg, ra=[10.0] * 3 * u.deg)
    table[row][1] = np.nan
    if row == "total_flux":
        table["peak_flux"][1] = np.nan
    found = associated(table, bundle)
    np.testing.assert_array_equal(found.object_id, [1, 2, 1])
    assert any("1 rows have no position, flux or noise" in note for note in found.notes)
    assert len(objects_table(found)) == 2


def test_no_rows(bundle):
    found = associated(double()[:0], bundle)
    assert len(found.object_id) == len(found.objects) == len(found.links) == 0
    assert rows_table(found).colnames[-3:] == ["object_id", "n_members", "association_probability"]


@pytest.mark.parametrize(
    ("without", "code", "mentions"),
    [
        ("major", "ShapeMissing", "--columns.major"),
        ("minor", "ShapeMissing", "--columns.minor"),
        ("pa", "ShapeMissing", "--columns.pa"),
        ("local_rms", "NoiseMissing", "--rms"),
        ("total_flux peak_flux", "FluxMissing", "--columns.total_flux"),
    ],
)
def test_a_missing_column_is_named_with_its_option(bundle, without, code, mentions):
    table = double()
    table.remove_columns(without.split())
    with pytest.raises(InputError, match=mentions) as raised:
        associated(table, bundle)
    assert raised.value.code == code


def test_other_names_and_one_flux_and_one_noise_do(bundle):
    table = double()
    for old, new in (("major", "MajorAx"), ("minor", "MinorAx"), ("pa", "Orient")):
        table.rename_column(old, new)
    table.remove_columns(["local_rms", "peak_flux"])
    columns = CatalogueColumns(major="MajorAx", minor="MinorAx [arcsec]", pa="Orient")
    found = associated(table, bundle, options=AssociationOptions(beam=BEAM, rms=1e-4), columns=columns)
    np.testing.assert_array_equal(found.object_id, [1, 1, 2])
    assert found.objects.peak_flux[0] == pytest.approx(3e-3 * 100 / (14 * 10))  # total over the area in beams


def test_rows_without_axes_are_taken_as_unresolved(bundle):
    table = double(major=[14.0, 0.0, np.nan] * u.arcsec, minor=[10.0, 0.0, 10.0] * u.arcsec)
    found = associated(table, bundle)
    np.testing.assert_allclose(found.rows.major, [14, 10, 10])
    assert any("2 rows without axes" in note for note in found.notes)


def test_the_beam_is_that_of_the_option_the_map_or_the_columns(bundle):
    with pytest.raises(InputError, match="--beam"):
        associated(double(), bundle, options=AssociationOptions())
    table = double()
    table.meta["provenance"] = {"beam_major_arcsec": 16.0, "beam_minor_arcsec": 9.0}
    assert associated(table, bundle, options=AssociationOptions()).beam_arcsec == pytest.approx(12.0)
    aegean = double(psf_a=[20.0, 20.0, 20.0], psf_b=[5.0, 5.0, 5.0])
    assert associated(aegean, bundle, options=AssociationOptions()).beam_arcsec == pytest.approx(10.0)
    assert associated(aegean, bundle).beam_arcsec == pytest.approx(10.0)


def test_pixel_positions_need_the_size_of_a_pixel(bundle):
    table = double(x=[100.0, 100.0, 400.0], y=[100.0, 115.0, 100.0])
    table.remove_columns(["ra", "dec"])
    with pytest.raises(InputError, match="--pixel-scale"):
        associated(table, bundle)
    found = associated(table, bundle, options=AssociationOptions(beam=BEAM, pixel_scale=2.0))
    np.testing.assert_array_equal(found.object_id, [1, 1, 2])
    written = objects_table(found)
    np.testing.assert_allclose(written["x"], [100.0, 400.0])
    np.testing.assert_allclose(written["y"], [103.75, 100.0])
    assert found.objects.largest_angular_size[0] == pytest.approx(43.0, rel=1e-4)


def test_columns_that_have_our_names_are_kept(bundle):
    found = associated(double(object_id=[7, 8, 9]), bundle)
    table = rows_table(found)
    assert table["object_id_before"].tolist() == [7, 8, 9] and table["object_id"].tolist() == [1, 1, 2]


@pytest.mark.parametrize("option", ["rms", "pixel_scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(UsageError, match="positive"):
        AssociationOptions(**{option: value})
