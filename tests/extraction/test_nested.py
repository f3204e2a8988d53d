import numpy as np
import pytest
from scipy import ndimage

from neanias_ml.errors import UsageError
from neanias_ml.extraction.islands.pixels import IslandPixels
from neanias_ml.extraction.nested.config import NestedConfig
from neanias_ml.extraction.nested.find import find_nested
from tests.conftest import BEAM_PIXELS, correlated_noise, gaussian, round_covariance

BEAM = round_covariance(BEAM_PIXELS)
SIGMA = BEAM_PIXELS / 2.3548
EIGHT = np.ones((3, 3))


def point(shape, x, y, height, *, widths=1.0):
    """A Gaussian ``widths`` times as wide as the beam."""
    return height * gaussian(shape, x, y, BEAM * widths**2)


def disk(shape, radius, height, *, centre=None):
    """A uniform disk seen through the beam."""
    row, col = centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    rows, cols = np.indices(shape)
    return height * ndimage.gaussian_filter((np.hypot(rows - row, cols - col) < radius).astype(float), SIGMA)


def islands_of(significance, *, merge=2.6, noise=1.0, y0=0, x0=0):
    """The islands of a map in units of its noise that hold a pixel above 5 sigma."""
    labels, count = ndimage.label(significance >= merge, structure=EIGHT)
    keep = np.zeros(count + 1, dtype=bool)
    keep[labels[significance >= 5]] = True
    keep[0] = False
    labels = (np.cumsum(keep) * keep)[labels].astype(np.int32)
    flux = (significance * noise).astype(np.float32)
    return IslandPixels.from_labels(labels, flux=flux, noise=np.full_like(flux, noise), y0=y0, x0=x0)


def search(significance, *, config=None, **keywords):
    return find_nested(islands_of(significance, **keywords), beam_covariance=BEAM, config=config)


def peaks(nested):
    """(N, 2) x and y of the brightest pixel of each nested island."""
    found = []
    for one in nested.pixels:
        brightest = int(np.argmax(one.flux / one.noise))
        found.append((one.x[brightest], one.y[brightest]))
    return np.array(found).reshape(-1, 2)


def holds(nested, x, y):
    """Rows of the nested islands that hold a pixel of the map."""
    return [row for row, one in enumerate(nested.pixels) if ((one.x == x) & (one.y == y)).any()]


def as_sets(nested, transform=lambda y, x: (y, x)):
    """The pixels of the nested islands as an unordered collection of sets."""
    return {
        frozenset(zip(*(values.tolist() for values in transform(one.y, one.x)), strict=True)) for one in nested.pixels
    }


@pytest.mark.parametrize("height", [12, 100, 1e4, 1e7])
@pytest.mark.parametrize("widths", [1.0, 1.7, 2.4])
def test_a_plain_source_has_no_children(height, widths):
    rng = np.random.default_rng(int(height * widths) % 1000)
    for _ in range(4):
        sky = point((141, 141), 70.3, 69.6, height, widths=widths) + correlated_noise((141, 141), rng)
        assert len(search(sky, config=NestedConfig(min_beams=0))) == 0


def test_an_elongated_source_has_no_children():
    rng = np.random.default_rng(5)
    shape = BEAM + np.array([[40.0, 20.0], [20.0, 12.0]])
    sky = 300 * gaussian((101, 101), 50, 50, shape) + correlated_noise((101, 101), rng)
    assert len(search(sky)) == 0


@pytest.mark.parametrize("height", [6, 12, 50])
def test_disks_are_not_chopped_into_noise(height):
    rng = np.random.default_rng(height)
    children = sum(len(search(disk((161, 161), 60, height) + correlated_noise((161, 161), rng))) for _ in range(8))
    assert children <= 1  # about 3000 independent beams in all


def test_shells_are_not_chopped_into_noise():
    rng = np.random.default_rng(8)
    shell = disk((161, 161), 60, 30.0) - disk((161, 161), 50, 24.0)
    assert sum(len(search(shell + correlated_noise((161, 161), rng))) for _ in range(8)) <= 1


@pytest.mark.parametrize(("height", "least"), [(6.5, 0.5), (9, 0.85), (20, 0.98)])
def test_points_on_disks_are_found_by_their_contrast(height, least):
    rng = np.random.default_rng(21)
    places = [(x, y) for x in (55, 80, 105) for y in (55, 80, 105)]
    found = total = false = 0
    for pedestal in (8.0, 15.0, 40.0, 15.0):
        sky = disk((161, 161), 65, pedestal) + correlated_noise((161, 161), rng)
        for x, y in places:
            sky += point(sky.shape, x, y, height)
        nested = search(sky)
        apart = np.hypot(*(peaks(nested)[:, None] - np.array(places)[None]).transpose(2, 0, 1))
        found += int((apart.min(axis=0, initial=np.inf) < 3).sum())
        false += int((apart.min(axis=1) > 4).sum())
        total += len(places)
        strong = np.abs(nested.contrast - height) < 5
        assert strong.mean() > 0.9
    assert found >= least * total
    assert false <= 1


def test_points_on_slopes_and_ridges_are_found():
    rng = np.random.default_rng(4)
    shape = (161, 161)
    limb = disk(shape, 55, 40.0) - disk(shape, 47, 34.0)
    on_limb = [(80 + round(51 * np.cos(a)), 80 + round(51 * np.sin(a))) for a in np.arange(0, 6.2, 0.9)]
    on_edge = [(80 + round(58 * np.cos(a)), 80 + round(58 * np.sin(a))) for a in np.arange(0.3, 6.2, 1.2)]
    for sky, places in ((limb, on_limb), (disk(shape, 58, 30.0), on_edge)):
        image = sky + correlated_noise(shape, rng)
        for x, y in places:
            image = image + point(shape, x, y, 18)
        found = peaks(search(image))
        near = [np.hypot(*(found - place).T).min() < 4 for place in places]
        assert np.mean(near) >= 0.8
        assert len(found) <= len(places) + 1


def test_a_point_on_a_filament_and_a_core_between_lobes():
    rng = np.random.default_rng(2)
    filament = 10 * gaussian((81, 201), 100, 40, np.diag([45.0**2, 6.0]))
    nested = search(filament + point((81, 201), 80, 40, 15) + correlated_noise((81, 201), rng))
    assert len(nested) == 1
    assert np.abs(peaks(nested)[0] - [80, 40]).max() <= 2

    bridge = 6 * gaussian((81, 161), 80, 40, np.diag([30.0**2, 10.0]))
    lobes = point((81, 161), 40, 40, 50, widths=1.6) + point((81, 161), 118, 41, 35, widths=1.6)
    nested = search(bridge + lobes + point((81, 161), 80, 40, 25) + correlated_noise((81, 161), rng))
    assert sorted(peaks(nested)[:, 0] // 30) == [1, 2, 3]
    assert (nested.parent == -1).all()


def test_nesting_has_as_many_levels_as_the_sky():
    rng = np.random.default_rng(6)
    shape = (241, 241)
    sky = disk(shape, 105, 12) + correlated_noise(shape, rng)
    sky += point(shape, 100, 120, 80, widths=2.9)
    sky += point(shape, 106, 124, 60, widths=1.0)
    sky += point(shape, 180, 120, 30)
    nested = search(sky)
    assert sorted(nested.level.tolist()) == [1, 1, 2]
    knot = holds(nested, 106, 124)
    assert [nested.level[row] for row in knot] == [1, 2]
    assert nested.parent[knot[1]] == knot[0]
    assert nested.scale[knot[0]] > 1.8 * nested.scale[knot[1]]
    assert [nested.parent[row] for row in holds(nested, 180, 120)] == [-1]
    assert nested.contrast[holds(nested, 180, 120)[0]] == pytest.approx(30, abs=4)


def busy_sky(seed):
    """Two crowded disks: knots on knots, slopes and blends."""
    rng = np.random.default_rng(seed)
    shape = (120, 240)
    sky = disk(shape, 48, 10, centre=(60, 58)) + disk(shape, 45, 25, centre=(60, 180)) + correlated_noise(shape, rng)
    for _ in range(40):
        x, y, wide = rng.uniform(15, 225), rng.uniform(15, 105), rng.choice([1.0, 1.0, 2.0])
        sky += point(shape, x, y, 10 ** rng.uniform(0.7, 2.0), widths=wide)
    return sky


@pytest.mark.parametrize("seed", range(4))
def test_nested_islands_are_connected_and_nest(seed):
    islands = islands_of(busy_sky(seed))
    nested = find_nested(islands, beam_covariance=BEAM)
    assert len(nested) > 10
    pixels = [set(zip(one.y.tolist(), one.x.tolist(), strict=True)) for one in nested.pixels]
    mothers = [set(zip(one.y.tolist(), one.x.tolist(), strict=True)) for one in islands]
    for row, own in enumerate(pixels):
        stamp = np.zeros((120, 240), dtype=bool)
        stamp[tuple(np.array(sorted(own)).T)] = True
        assert ndimage.label(stamp, structure=EIGHT)[1] == 1
        parent = int(nested.parent[row])
        assert own < (mothers[nested.mother_row[row]] if parent < 0 else pixels[parent])
        assert nested.level[row] == (1 if parent < 0 else nested.level[parent] + 1)
        assert parent < row
        for other in range(row):
            if nested.parent[other] == parent:
                assert not own & pixels[other]
    for one in nested.pixels:
        assert (np.diff(one.y.astype(int) * 1000 + one.x) > 0).all()


def test_does_not_depend_on_orientation_scale_place_or_threads():
    sky = busy_sky(9)
    height, width = sky.shape
    expected = as_sets(search(sky))
    assert len(expected) > 10
    flipped = as_sets(search(sky[::-1]), lambda y, x: (height - 1 - y, x))
    turned = as_sets(search(np.rot90(sky).copy()), lambda y, x: (x, width - 1 - y))
    assert flipped == expected
    assert turned == expected
    assert as_sets(search(sky, noise=2.0**-14)) == expected
    moved = as_sets(search(sky, y0=700, x0=5000), lambda y, x: (y - 700, x - 5000))
    assert moved == expected
    threads = find_nested(islands_of(sky), beam_covariance=BEAM, workers=3)
    single = find_nested(islands_of(sky), beam_covariance=BEAM)
    for name in ("mother_row", "parent", "level", "scale", "contrast"):
        np.testing.assert_array_equal(getattr(threads, name), getattr(single, name))
    np.testing.assert_array_equal(threads.pixels.offsets, single.pixels.offsets)


def test_a_higher_level_of_the_mother_changes_nothing():
    rng = np.random.default_rng(12)
    sky = disk((141, 141), 55, 12) + point((141, 141), 60, 75, 20) + correlated_noise((141, 141), rng)
    low = islands_of(sky)
    high = IslandPixels(low.offsets, low.y, low.x, low.flux + np.float32(64.0), low.noise, low.inside)
    lower, higher = (find_nested(pixels, beam_covariance=BEAM) for pixels in (low, high))
    assert len(lower) == 1
    assert as_sets(lower) == as_sets(higher)
    np.testing.assert_allclose(lower.contrast, higher.contrast, atol=1e-3)


def test_blank_holes_and_cut_edges_make_no_children():
    rng = np.random.default_rng(30)
    sky = disk((141, 141), 60, 40) + correlated_noise((141, 141), rng)
    sky[60:66, 60:70] = sky[90:92, 30:100] = sky[:, 110:] = np.nan
    assert len(search(sky)) == 0


def test_a_margin_is_seen_but_never_owned():
    rng = np.random.default_rng(31)
    sky = disk((121, 121), 45, 12) + point((121, 121), 60, 60, 20) + correlated_noise((121, 121), rng)
    tight = islands_of(sky)
    wide = islands_of(np.where(ndimage.binary_dilation(sky >= 2.6, iterations=3), np.maximum(sky, 2.6), 0))
    inside = np.isin(wide.y * 121 + wide.x, tight.y * 121 + tight.x)
    wide = IslandPixels(wide.offsets, wide.y, wide.x, sky[wide.y, wide.x].astype(np.float32), wide.noise, inside)
    nested = find_nested(wide, beam_covariance=BEAM)
    assert len(nested) == 1
    assert nested.pixels.inside.all()
    assert as_sets(nested) == as_sets(find_nested(tight, beam_covariance=BEAM))


def test_a_huge_island_of_many_sources():
    rng = np.random.default_rng(40)
    n = 1000
    sky = np.full((n, n), 10.0) + correlated_noise((n, n), rng)
    lattice = np.stack(np.meshgrid(np.arange(20, n, 40), np.arange(20, n, 40)), axis=-1).reshape(-1, 2)
    places = rng.permutation(lattice)[:300]
    for x, y in places:
        box = np.s_[y - 15 : y + 16, x - 15 : x + 16]
        sky[box] += point((31, 31), 15, 15, 15)
    flux = sky.astype(np.float32)
    whole = IslandPixels.from_labels(np.ones((n, n), np.int32), flux=flux, noise=np.ones_like(flux))
    nested = find_nested(whole, beam_covariance=BEAM)
    apart = np.hypot(*(peaks(nested)[:, None] - places[None]).transpose(2, 0, 1))
    assert (apart.min(axis=0) < 3).mean() > 0.98
    assert (apart.min(axis=1) > 4).sum() <= 3


def test_small_islands_are_passed_over():
    sky = disk((81, 81), 15, 20) + point((81, 81), 40, 40, 40)
    assert len(search(sky, config=NestedConfig(min_beams=10))) == 1
    assert len(search(sky, config=NestedConfig(min_beams=100))) == 0


def test_no_islands_no_children():
    none = search(np.zeros((9, 9)))
    assert len(none) == 0
    assert none.pixels.offsets.tolist() == [0]
    assert none.parent.dtype == np.int64


@pytest.mark.parametrize(
    "settings",
    [{"min_scale": 3.0, "max_scale": 1.0}, {"merge_threshold": 6.0}, {"min_beams": -1.0}, {"min_scale": float("nan")}],
)
def test_settings_are_checked(settings):
    with pytest.raises(UsageError):
        NestedConfig(**settings)


@pytest.mark.parametrize("beam", [np.eye(3), np.zeros((2, 2)), np.array([[1.0, 2.0], [2.0, 1.0]])])
def test_the_beam_must_be_a_covariance(beam):
    with pytest.raises(UsageError, match="positive definite"):
        find_nested(islands_of(np.zeros((5, 5))), beam_covariance=beam)
