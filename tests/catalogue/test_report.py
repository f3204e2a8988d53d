"""The report is one safe, self-contained page that shows the results."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Angle

from neanias_ml.catalogue import report_table
from neanias_ml.catalogue.gallery import chosen_rows, cutout_window
from neanias_ml.catalogue.html_parts import count_steps, css_key, histogram_svg
from neanias_ml.catalogue.manifest import ModelIdentity, RunRecord
from neanias_ml.catalogue.report_table import four_digits, position_texts, sexagesimal
from neanias_ml.catalogue.sources import Sources
from neanias_ml.catalogue.write import write_catalogue
from neanias_ml.extraction.tables import Extraction
from neanias_ml.inference.objects import ObjectCatalogue
from neanias_ml.maps import MapSource

ATTACK = "<script>alert('x')</script><img src=http://evil.example/a.png onerror=alert(1)>\"'&"
FILE_ATTACK = ATTACK.replace("/", "\\") + ".fits"


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._inside = ""
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.blocks:
            self.blocks[self._inside].append(data)
        else:
            self.texts.append(data)

    def having(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all tags of one kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def write(extraction: Extraction, catalogue: ObjectCatalogue | None, folder: Path, run: RunRecord) -> Page:
    """Run the writer and parse the report."""
    write_catalogue(folder, extraction=extraction, catalogue=catalogue, run=run)
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the attacked report lies."""
    return tmp_path_factory.mktemp("report") / "out"


@pytest.fixture(scope="module")
def page(extraction: Extraction, catalogue: ObjectCatalogue, folder: Path) -> Page:
    """A report into which every text from outside brings markup."""
    path = folder.with_name(FILE_ATTACK)
    path.write_bytes(b"")
    radio_map = dataclasses.replace(
        extraction.radio_map, source=MapSource(path), flags=(ATTACK, "NoWcs"), original_unit=ATTACK
    )
    morphology = np.full(len(catalogue.objects), ATTACK)
    catalogue = dataclasses.replace(catalogue, objects=catalogue.objects.replace(morphology=morphology))
    run = RunRecord(
        command=("neanias-ml", ATTACK),
        configuration={"a": {ATTACK: [1.5, ATTACK]}},
        timings={"islands": 1.25, ATTACK: 0.5},
        models=(ModelIdentity(ATTACK, ATTACK, "ab"),),
        seed=7,
        warnings=(ATTACK,),
    )
    return write(dataclasses.replace(extraction, radio_map=radio_map), catalogue, folder, run)


def test_nothing_from_outside_becomes_markup(page: Page) -> None:
    assert len(page.having("script")) == 1 and "alert(" not in "".join(page.blocks["script"])
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert sum(ATTACK in text for text in page.texts) >= 8
    assert sum(FILE_ATTACK in text for text in page.texts) >= 3


def test_page_reaches_for_nothing(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or ""
            assert (
                value == ""
                or value.startswith(("data:image/png;base64,", "#"))
                or re.fullmatch(r"[a-z]+\.[a-z]+", value)
            )
        assert tag not in {"link", "iframe", "object", "embed", "base"} and "style" not in attributes
    assert not re.search(r"url\(|@import", "".join(page.blocks["style"]))


def test_policy_admits_only_the_pages_own_style_and_script(page: Page) -> None:
    policy = next(a["content"] for a in page.having("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'")
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256("".join(page.blocks[kind]).encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_every_object_has_a_row_and_the_chosen_a_picture(page: Page, catalogue: ObjectCatalogue) -> None:
    rows = {attributes["id"] for attributes in page.having("tr") if "data-snr" in attributes}
    assert rows == {f"row-{object_id}" for object_id in catalogue.objects.object_id}
    assert len(page.having("figure")) == min(24, len(catalogue.objects))
    assert {a["href"].removeprefix("#") for a in page.having("a") if (a["href"] or "").startswith("#")} <= rows
    for picture in page.having("image"):
        assert base64.b64decode((picture["href"] or "").removeprefix("data:image/png;base64,"))[:4] == b"\x89PNG"
    assert {a["data-class"] for a in page.having("input") if "data-class" in a} == {
        css_key(name) for name in catalogue.objects.class_name
    }


def test_links_lead_to_the_files_of_the_run(page: Page, folder: Path) -> None:
    names = {a["href"] for a in page.having("a") if not (a["href"] or "").startswith("#")}
    assert names == {path.name for path in folder.iterdir()}


def test_flags_are_explained(page: Page) -> None:
    text = " ".join(page.texts)
    assert "positions are in pixels only" in text
    assert "the size without the beam is an upper limit" in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_script_runs_in_a_browser(page: Page, folder: Path, catalogue: ObjectCatalogue) -> None:
    """The policy lets the page's own script pass: it counts the rows that are shown."""
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        (folder / "report.html").as_uri(),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    count = len(catalogue.objects)
    assert f"{count} of {count} shown" in shown.stdout
    assert "alert('x')</script>" not in shown.stdout


@pytest.mark.parametrize("options", [{"n": 0}, {"wcs": False}, {"n": 1, "wcs": False, "frequency": None}])
def test_report_of_odd_maps(options: dict, make_extraction: Callable[..., Extraction], tmp_path: Path) -> None:
    extraction = make_extraction(**options)
    page = write(extraction, None, tmp_path / "out", RunRecord())
    assert len([a for a in page.having("tr") if "data-snr" in a]) == len(extraction.islands)
    assert len(page.having("figure")) == len(extraction.islands)


def test_long_tables_are_cut_and_say_so(
    extraction: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_table, "MOST_ROWS", 3)
    monkeypatch.setattr("neanias_ml.catalogue.report.MOST_ROWS", 3)
    page = write(extraction, None, tmp_path / "out", RunRecord())
    assert len([a for a in page.having("tr") if "data-snr" in a]) == 3
    assert f"The 3 of highest S/N out of {len(extraction.islands)}" in " ".join(page.texts)


def test_histogram_holds_every_source(extraction: Extraction, catalogue: ObjectCatalogue) -> None:
    sources = Sources.from_results(extraction, catalogue)
    titles = re.findall(r"<title>[^<]*: (\d+) in", histogram_svg(sources, sources.rows.snr, label="S/N"))
    assert sum(map(int, titles)) == len(sources)
    steps = iter(count_steps())
    assert [next(steps) for _ in range(7)] == [1, 2, 5, 10, 20, 50, 100]


def test_cutouts_hold_their_source_and_stay_in_the_map(extraction: Extraction, catalogue: ObjectCatalogue) -> None:
    sources = Sources.from_results(extraction, catalogue)
    chosen = chosen_rows(sources, count=5)
    assert len(set(chosen)) == 5 and sources.brightest(1)[0] in chosen
    for row in chosen_rows(sources):
        window, box = cutout_window(sources, row), sources.box(row)
        assert window.y0 <= box.y0 and window.y1 >= box.y1 and window.x0 <= box.x0 and window.x1 >= box.x1
        assert window.y0 >= 0 and window.y1 <= 120 and window.x0 >= 0 and window.x1 <= 160


def test_positions_in_words(extraction: Extraction, pixel_extraction: Extraction) -> None:
    sources = Sources.from_results(extraction, None)
    rows = sources.rows.select(slice(0, 1)).replace(ra=np.array([187.70593]), dec=np.array([-0.39112]))
    assert position_texts(dataclasses.replace(sources, rows=rows)) == ["12:30:49.42 -00:23:28.0"]
    assert all(text.startswith("x ") for text in position_texts(Sources.from_results(pixel_extraction, None)))
    assert [four_digits(value) for value in (0.00123456, 123.456, 123456.7)] == ["0.001235", "123.5", "123457"]


def test_sexagesimal_positions_are_those_of_astropy() -> None:
    degrees = np.append(np.random.default_rng(6).uniform(0.0, 360.0, 300), [0.0, 359.999999, 15.0, 1.0 / 3.0])
    hours = Angle(degrees * u.deg).to_string(unit=u.hourangle, sep=":", precision=2, pad=True)
    assert sexagesimal(degrees / 15.0, digits=2) == hours.tolist()
    latitudes = Angle(degrees / 4.0 * u.deg).to_string(sep=":", precision=1, pad=True)
    assert sexagesimal(degrees / 4.0, digits=1) == latitudes.tolist()
