"""The language of cuts, cut files, and regions: right rows, safe words, errors that point at the place."""

import ast
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from neanias_ml.catalogue.selection import apply_cuts, cuts_of_file
from neanias_ml.catalogue.selection_language import parse_expression
from neanias_ml.catalogue.selection_regions import inside_any, read_regions
from neanias_ml.catalogue.selection_values import evaluate
from neanias_ml.errors import InputError, UsageError

PRESELECTION = Path(__file__).parents[2] / "configs" / "select" / "caesar-preselection.yaml"


@pytest.fixture
def table():
    rows = Table()
    rows["snr"] = [3.0, 6.0, 9.0, np.nan]
    rows["kind"] = ["compact", "extended", "nested", "compact"]
    rows["flags"] = ["edge,blanked", "", "on_edge", "fit_failed, edge"]
    rows["total_flux"] = [1e-3, 2e-3, 3e-3, 4e-3] * u.Jy
    rows["peak_flux"] = [1.0, 1.0, 1.0, 1.0] * u.mJy / u.beam
    rows["n"] = MaskedColumn([1, 2, 3, 4], mask=[False, False, True, False])
    rows["big"] = [2**53, 2**53 + 1, 2**53 + 2, 1]  # beyond what floats tell apart
    rows["S(Jy) 1.4"] = [1, 2, 3, 4]
    rows["good"] = [True, False, True, False]
    rows["name"] = ["ILTJ13", "ILTJ14", "NVSS", ""]
    return rows


def rows(text, table):
    return np.flatnonzero(evaluate(parse_expression(text), table)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("snr > 5", [1, 2]),
        ("snr != 3", [1, 2]),
        ("not snr > 5", [0, 3]),
        ("isnan(snr)", [3]),
        ("isnan(n) or isnan(name)", [2, 3]),
        ("n >= 1", [0, 1, 3]),
        ("3 < snr <= 9", [1, 2]),
        ("snr between 3 and 6", [0, 1]),
        ("snr between 1 + 2 and 2 * 3 and kind == 'compact'", [0]),
        ("(snr between 3 and 6) or (n between 4 and 5)", [0, 1, 3]),
        ("kind in ('compact', 'nested')", [0, 2, 3]),
        ("kind not in ('compact', 'nested')", [1]),
        ("n in (1, 4)", [0, 3]),
        ("big == 9007199254740993", [1]),
        ("big > 9007199254740992 and -big < 0", [1, 2]),
        ("big - 9007199254740992 >= 2 or big ** -1 < 0", [2]),
        ("flags contains 'edge'", [0, 3]),
        ("not flags contains 'edge' and snr > 1", [1, 2]),
        ("matches(name, 'ILTJ1?')", [0, 1]),
        ("good", [0, 2]),
        ("good == False", [1, 3]),
        ("not good and snr > 5", [1]),
        ("snr > 5 and good or n == 4", [2, 3]),
        ("SNR > 5 AND NOT GOOD", [1]),
        ("`S(Jy) 1.4` ** 2 > 4", [2, 3]),
        ("abs(snr - 6) < 1", [1]),
        ("-snr < -5", [1, 2]),
        ("snr % 2 == 0", [1]),
        ("log10(total_flux) > -2.6", [2, 3]),
        ("sqrt(snr) == 3", [2]),
        ("minimum(snr, n) >= 2", [1]),
        ("snr / 0 > 1", [0, 1, 2]),
        ("True", [0, 1, 2, 3]),
        ("1 > 2", []),
        ("total_flux > 0.0015", [1, 2, 3]),
        ("total_flux > 1.5 mJy", [1, 2, 3]),
        ("1.5mJy < total_flux", [1, 2, 3]),
        ("total_flux between 1.5 mJy and 0.003 Jy", [1, 2]),
        ("peak_flux >= 1000 uJy/beam", [0, 1, 2, 3]),
        ("total_flux / peak_flux > 2.5", [2, 3]),
        ("2 * total_flux > 5 mJy", [2, 3]),
        ("total_flux + 1 mJy > 4.5 mJy", [3]),
        ("total_flux\n > 2.5e-3", [2, 3]),
    ],
)
def test_rows_that_a_cut_keeps(table, text, expected):
    assert rows(text, table) == expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "().__class__", "snr.real > 1", "[s for s in snr]", "lambda: 1",
        "snr[0] > 1", "exec('1')", "open('x')", "f'{snr}' == '3'", "snr if good else n", "x := 3", "*snr", "snr, n",
        "snr is n", "{1: 2}", "snr @ n", "snr ^ n", "snr << 2", "~good", "snr & n", "abs(snr, n) > 1", "abs(x=1) > 1",
        "abs > 1", "'a' 'b' == name", "1j > 2", "await snr", "snr > 5; n", "b'x' == name", "minimum(*snr) > 1", "...",
        "None == n",
    ],
)  # fmt: skip
def test_nothing_but_cuts_is_understood(table, text):
    with pytest.raises(UsageError):
        evaluate(parse_expression(text), table)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="snr kidgo()<>=!'\"`0123456789.+-*/%,andbetwconi_\\\n#[]{}:;@~é", max_size=40))
def test_any_text_is_a_cut_or_a_usage_error(text):
    rows = Table({"snr": [1.0, np.nan], "kind": ["a", "b"], "good": [True, False]})
    try:
        truth = evaluate(parse_expression(text), rows)
    except UsageError as error:
        assert "\n" not in error.message
        return
    assert truth.shape == (2,) and truth.dtype == bool


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cuts_agree_with_python(data):
    """Numbers without missing values, against the interpreter itself, row by row."""
    number = st.integers(-5, 5).map(str) | st.sampled_from(["a", "b"])
    arithmetic = st.recursive(
        number, lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from("+-*"), inner), max_leaves=4
    )
    condition = st.builds(
        "{} {} {}".format, arithmetic, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), arithmetic
    )
    text = data.draw(
        st.recursive(
            condition,
            lambda inner: (
                st.builds("({}) {} ({})".format, inner, st.sampled_from(["and", "or"]), inner)
                | inner.map("not ({})".format)
            ),
            max_leaves=4,
        )
    )
    a, b = np.arange(-3.0, 4.0), np.arange(7.0)[::-1]
    found = evaluate(parse_expression(text), Table({"a": a, "b": b}))
    code = compile(ast.parse(text, mode="eval"), "cut", "eval")
    assert found.tolist() == [bool(eval(code, {"a": x, "b": y})) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("snr > > 7", "snr > [HERE]> 7"),
        ("snr = 7", "snr [HERE]= 7"),
        ("snr > 7 and", "snr > 7 and[HERE]"),
        ("kind == 'é' and snr.x", "snr[HERE].x"),
        ("snr between 5", "snr between 5[HERE]"),
        ("snr > 5 banana", "[HERE]5 banana"),
        ("kind > 'a'", "[HERE]kind > 'a'"),
        ("snr > 'a'", "[HERE]snr > 'a'"),
        ("snr > 1 and n + kind > 1", "and n + [HERE]kind"),
        ("snr", "[HERE]snr"),
        ("", "empty"),
    ],
)
def test_errors_point_at_the_place(table, text, place):
    with pytest.raises(UsageError) as caught:
        evaluate(parse_expression(text), table)
    assert caught.value.code == "ExpressionUnreadable" and place in caught.value.message


def test_errors_of_columns_and_units(table):
    with pytest.raises(UsageError, match="nearest: total_flux") as caught:
        rows("totl_flux > 1", table)
    assert caught.value.code == "ColumnMissing"
    with pytest.raises(UsageError, match="one kind of quantity"):
        rows("total_flux > 1 arcsec", table)
    with pytest.raises(UsageError, match="leave the unit out"):
        rows("snr > 1 mJy", table)
    with pytest.raises(UsageError, match="nested too deeply"):
        rows("not " * 100 + "good", table)
    with pytest.raises(UsageError):
        rows("(" * 300 + "1" + ")" * 300 + " > 0", table)


def test_names_that_differ_in_case_only_must_be_written_exactly():
    rows_ = Table({"Snr": [1.0], "SNR": [5.0]})
    assert rows("SNR > 3", rows_) == [0] and rows("Snr > 3", rows_) == []
    with pytest.raises(UsageError, match="snr"):
        rows("snr > 3", rows_)


def cut_file(tmp_path, text):
    path = tmp_path / "cuts.yaml"
    path.write_text(text)
    return path


def test_a_cut_file_counts_what_each_cut_removes(tmp_path, table):
    path = cut_file(
        tmp_path,
        """
        cuts:
          - {name: bright, where: snr > 5, reason: noise}
          - name: kinds
            any: [{where: kind == 'nested'}, {where: flags contains 'edge', enabled: false}]
          - {name: off, where: snr > 100, enabled: false}
          - {name: absent, where: nothing > 1, if_missing: skip}
        """,
    )
    cuts, combine = cuts_of_file(path)
    selection = apply_cuts(table, cuts, combine=combine)
    assert np.flatnonzero(selection.rows).tolist() == [2]
    assert [(c.satisfied, c.removed, c.left) for c in selection.counts] == [(2, 2, 2), (1, 1, 1), *[(None,) * 3] * 2]
    assert [c.note for c in selection.counts] == ["", "", "not enabled", "no column nothing"]


def test_cuts_joined_by_any(tmp_path, table):
    cuts, combine = cuts_of_file(cut_file(tmp_path, "combine: any\ncuts: [{where: snr > 8}, {where: n == 1}]"))
    assert np.flatnonzero(apply_cuts(table, cuts, combine=combine).rows).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("cuts: [{where: 'snr > > 7', name: bright}]", "bright"),
        ("cuts: [{wher: snr > 7}]", "nearest: where"),
        ("cuts: [{name: x}]", "exactly one"),
        ("cuts: [{where: a > 1, all: []}]", "exactly one"),
        ("cuts: []", "no list"),
        ("cut: 3", "no list"),
        ("cuts: [{where: a > 1}]\ncombine: xor", "xor"),
        ("cuts: [{any: []}]", "list of cuts"),
        ("cuts: [oops]", "no mapping"),
        ("cuts: [{where: a: b}]", "line 1"),
        ("cuts: [{where: a > 1, if_missing: maybe}]", "if_missing"),
        ("cuts: [!!python/object/apply:os.system ['true']]", "no YAML"),
    ],
)
def test_wrong_cut_files(tmp_path, text, mentions):
    with pytest.raises((InputError, UsageError), match=mentions):
        cuts_of_file(cut_file(tmp_path, text))


def test_a_file_none_of_whose_cuts_fits_is_refused(tmp_path, table):
    cuts, combine = cuts_of_file(cut_file(tmp_path, "cuts: [{where: nothing > 1, if_missing: skip}]"))
    with pytest.raises(UsageError, match="no column nothing"):
        apply_cuts(table, cuts, combine=combine)


def test_the_shipped_preselection_serves_islands_and_components():
    cuts, combine = cuts_of_file(PRESELECTION)
    assert all(cut.reason for cut in cuts)
    islands = Table({
        "n_pixels": [30, 2, 30, 30, 30], "x0": [0, 0, 0, 0, 0], "x1": [6, 2, 30, 6, 6], "y0": [0, 0, 0, 0, 0],
        "y1": [5, 2, 1, 6, 6], "major": [6.0, 6.0, 6.0, 30.0, 6.0], "minor": [5.0, 5.0, 5.0, 3.0, np.nan],
        "total_flux": [1.0, 1.0, 1.0, 1.0, 1.0] * u.mJy, "snr": [5.0, 5.0, 5.0, 5.0, 5.0],
    })  # fmt: skip
    selection = apply_cuts(islands, cuts, combine=combine)
    assert selection.rows.tolist() == [True, False, False, False, True]
    components = Table(
        {"fit_quality": [3, 1, 0, 3, 3], "total_flux": [1, 1, 1, 1, 1e-8] * u.Jy, "snr": [9.0, 9, 9, 2, 9]}
    )
    assert apply_cuts(components, cuts, combine=combine).rows.tolist() == [True, False, True, False, False]


SHAPES = {
    "circle": 'circle(150.0,-30.0,90")',
    "ellipse": 'ellipse(150.0,-30.0,120",40",30)',
    "box": "box(150.0,-30.0,4',1.5',110)",
    "annulus": 'annulus(150.0,-30.0,40",100")',
    "polygon": "polygon(150.03,-30.02,149.98,-30.03,149.97,-29.98,150.0,-30.005,150.02,-29.97)",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("system", ["icrs", "fk5", "galactic", "image"])
def test_rows_inside_regions_are_those_of_the_regions_package(tmp_path, shape, system):
    regions = pytest.importorskip("regions")
    rng = np.random.default_rng(8)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150, -30]
    wcs.wcs.crpix, wcs.wcs.cdelt = [200, 200], [-5e-4, 5e-4]
    text = SHAPES[shape]
    if system == "galactic":
        centre = SkyCoord(150, -30, unit="deg").galactic
        # angles count from the axes of the region's own system; the judge takes those of the map
        wcs.wcs.ctype, wcs.wcs.crval = ["GLON-TAN", "GLAT-TAN"], [centre.l.deg, centre.b.deg]
        numbers = text[text.index("(") :].replace("150.0,-30.0", f"{centre.l.deg:.8f},{centre.b.deg:.8f}")
        text = shape + numbers
        if shape == "polygon":
            corners = SkyCoord([150.03, 149.98, 149.97, 150.0], [-30.02, -30.03, -29.98, -30.005], unit="deg").galactic
            text = "polygon(" + ",".join(f"{c.l.deg:.8f},{c.b.deg:.8f}" for c in corners) + ")"
    if system == "image":
        text = {
            "circle": "circle(200,200,50)", "ellipse": "ellipse(200,200,70,25,30)", "box": "box(200,200,120,60,110)",
            "annulus": "annulus(200,200,20,60)", "polygon": "polygon(150,160,250,150,260,240,200,190,180,250)",
        }[shape]  # fmt: skip
    path = tmp_path / "r.reg"
    path.write_text(f"# Region file format: DS9 version 4.1\nglobal color=green\n{system}\n{text} # text={{mine}}\n")
    x, y = rng.uniform(0, 400, (2, 4000))
    places = wcs.pixel_to_world(x, y).icrs
    ours = inside_any(read_regions(path), ra=places.ra.deg, dec=places.dec.deg, x=x, y=y) >= 0
    region = regions.Regions.read(str(path), format="ds9")[0]
    if system != "image":
        region = region.to_pixel(wcs)
    judge = region.contains(regions.PixCoord(x, y))
    assert 100 < judge.sum() < 2000
    assert (ours != judge).mean() < 0.002  # rows on the border: the tangent plane is not the map's


def test_polygons_at_the_pole_and_across_right_ascension_zero(tmp_path):
    path = tmp_path / "r.reg"
    path.write_text("fk5\npolygon(0,89,90,89,180,89,270,89)\npolygon(359.9,-1,0.1,-1,0.1,1,359.9,1) # tag={zero}\n")
    owner = inside_any(
        read_regions(path),
        ra=np.array([45.0, 45.0, 0.05, 359.95, 180.0, np.nan]), dec=np.array([89.9, 88.0, 0.0, 0.5, 0.0, 0.0]),
        x=np.full(6, np.nan), y=np.full(6, np.nan),
    )  # fmt: skip
    assert owner.tolist() == [0, -1, 1, 1, -1, -1]
    assert read_regions(path)[1].label == "zero"


def test_region_files_of_many_styles(tmp_path):
    path = tmp_path / "r.reg"
    path.write_text(
        "# remark\nglobal color=red\nfk5;circle(10:00:00,-30:00:00,0.01) # text={a b}\n"
        '-circle(10h00m00s,-30d00m00s,10")\nj2000\npoint(150,-30) # point=x\nimage\nbox(10,10,4,4)\n'
    )
    first, hole, box = read_regions(path)
    np.testing.assert_allclose(first.position, [[150.0, -30.0]])
    np.testing.assert_allclose(hole.position, [[150.0, -30.0]])
    assert (first.sizes, hole.include, box.position.tolist()) == ((36.0,), False, [[9.0, 9.0]])
    arc = np.array([0.0, 5.0, 20.0, 50.0]) / 3600
    owner = inside_any((first, hole), ra=np.full(4, 150.0), dec=-30.0 + arc, x=np.zeros(4), y=np.zeros(4))
    assert owner.tolist() == [-1, -1, 0, -1]
    only_hole = inside_any((hole,), ra=np.full(4, 150.0), dec=-30.0 + arc, x=np.zeros(4), y=np.zeros(4))
    assert (only_hole >= 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("fk5\nblob(1,2,3)", "line 2"), ("fk5\ncircle(1,2)", "circle with 2 numbers"), ("fk5\ncircle(a,b,c)", "line 2"),
        ("fk5\npolygon(1,2,3,4)", "three pairs"), ("fk5\ncircle(1,2,3p)", "pixels"), ("fk5\npoint(1,2)", "no circle"),
        ("", "no circle"),
    ],
)  # fmt: skip
def test_wrong_region_files(tmp_path, text, mentions):
    path = tmp_path / "r.reg"
    path.write_text(text)
    with pytest.raises(InputError, match=mentions):
        read_regions(path)
