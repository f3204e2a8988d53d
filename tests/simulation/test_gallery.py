"""Pictures of everything that is simulated."""

import numpy as np
import pytest
from PIL import Image

from neanias_ml.errors import UsageError
from neanias_ml.models.class_styles import STYLES
from neanias_ml.simulation import LAYOUTS, SURVEYS
from neanias_ml.simulation.gallery import pages as gallery_module
from neanias_ml.simulation.gallery.pages import draw_page, gallery_files, write_gallery
from neanias_ml.simulation.gallery.panels import FAULTS, fault_panels, field_panels, source_panels
from neanias_ml.simulation.truth import MORPHOLOGIES


@pytest.fixture(scope="module")
def sources():
    return list(source_panels(0))


@pytest.fixture(scope="module")
def faults():
    return {panel.title: panel.sky for panel in fault_panels(0)}


def test_every_kind_of_source_has_a_panel_and_is_seen(sources):
    assert [panel.title for panel in sources] == [*MORPHOLOGIES, "cluster of galaxies"]
    for panel in sources[:-1]:
        objects = panel.sky.truth.objects
        assert objects.kind.tolist() == [panel.title]
        assert objects.visible.all()
        labels = panel.sky.truth.object_labels
        edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        assert not edge.any(), f"{panel.title} is cut off"
    assert len(sources[-1].sky.truth.objects) > 4


def test_every_array_has_a_panel(faults):
    assert set(faults) == set(FAULTS)
    shown = {sky.config.imaging.layout for title, sky in faults.items() if title.startswith("unfinished CLEAN")}
    assert shown == set(LAYOUTS)


@pytest.mark.parametrize("title", FAULTS)
def test_every_fault_can_be_seen(faults, title):
    """Pixels are blank, or emission that is neither source nor noise stands out, or the noise is woven."""
    sky = faults[title]
    pixels = sky.radio_map.data
    if title in ("single pointing", "edge of a mosaic", "uneven pointings", "cut edge", "blanked source"):
        assert np.isnan(pixels).any()
    elif title.startswith("noise"):
        assert sky.config.imaging.noise_gridding == 1.0
    else:
        false = sky.artefact + sky.background
        assert np.abs(false).max() > 3.0 * sky.config.rms


def test_fields_of_all_surveys_are_shown():
    titles = [panel.title for panel in field_panels(1)]
    assert len(titles) == len(SURVEYS) + 4
    assert titles[4:] == [f"survey: {name}" for name in SURVEYS]


def test_a_page_names_its_panels_and_classes(sources):
    figure = draw_page(sources[:9], title="Some", columns=3, looks=STYLES)
    assert [axes.get_title() for axes in figure.axes] == [panel.title for panel in sources[:9]]
    present = {name for panel in sources[:9] for name in panel.sky.truth.objects.class_name.tolist()}
    assert {text.get_text() for text in figure.legends[0].get_texts()} == present
    assert all(axes.collections for axes in figure.axes), "outlines are missing"


def test_the_pictures_are_written_together_and_small(tmp_path, sources, monkeypatch):
    few = {name: (title, 3, lambda seed: iter(sources[:9])) for name, (title, _, _) in gallery_module._PAGES.items()}
    monkeypatch.setattr(gallery_module, "_PAGES", few)
    paths = write_gallery(tmp_path / "pictures", looks=STYLES, seed=0)
    assert [path.name for path in paths] == list(gallery_files())
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == sorted(gallery_files())
    for path in paths:
        with Image.open(path) as picture:
            colours = {colour for _, colour in picture.convert("RGB").getcolors(maxcolors=4096)}
        assert path.stat().st_size < 400_000
        assert (255, 255, 255) in colours
        assert any(max(colour) - min(colour) > 100 for colour in colours), "outlines lost their colour"


def test_a_failure_leaves_no_picture(tmp_path, sources, monkeypatch):
    def broken(seed):
        yield sources[0]
        raise RuntimeError("no more")

    pages = dict(gallery_module._PAGES)
    first, *_, last = pages
    pages = {first: ("Some", 3, lambda seed: iter(sources[:3])), last: ("Broken", 3, broken)}
    monkeypatch.setattr(gallery_module, "_PAGES", pages)
    with pytest.raises(RuntimeError, match="no more"):
        write_gallery(tmp_path / "pictures", looks=STYLES, seed=0)
    assert not (tmp_path / "pictures").exists()


def test_a_file_is_no_folder_for_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_module, "_PAGES", {})
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not a folder"):
        write_gallery(tmp_path / "file", looks=STYLES, seed=0)
