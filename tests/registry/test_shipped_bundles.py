"""The bundles that come with the project: whole, small enough to ship, and known to the registry by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from neanias_ml.cli.shipped_models import ASSOCIATION, CATALOGUE_ASSOCIATION, DETECTOR, MORPHOLOGY, SHIPPED
from neanias_ml.models.bundle_folder import bundle_network, verify_bundle

NETWORKS = {
    DETECTOR: "island-rcnn",
    ASSOCIATION: "island-graph",
    CATALOGUE_ASSOCIATION: "island-graph",
    MORPHOLOGY: "morphology",
}
MEGABYTE = 2**20


def test_nothing_else_is_shipped():
    assert {path for path in SHIPPED.iterdir() if path.is_dir()} == set(NETWORKS)


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda folder: folder.name)
def test_a_shipped_bundle_is_whole_small_and_registered_by_its_name(folder, registry):
    digest = verify_bundle(folder)
    sizes = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    assert max(sizes.values()) < 16 * MEGABYTE and sum(sizes.values()) < 30 * MEGABYTE
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.startswith(f"# {folder.name}") and "## Training" in card and "## Limits" in card and " to " in card
    done = registry.register(folder, folder.name)
    assert done.is_new and done.version.digest == digest
    assert done.version.tags["network"] == NETWORKS[folder] == bundle_network(folder)
    assert folder.name in registry.list_models()
