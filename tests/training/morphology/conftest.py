"""A prepared folder of drawn cutouts, without simulation."""

import json

import pytest

from neanias_ml.datasets.cutout_store import CUTOUT_SUFFIX, cutout_settings, write_cutouts
from neanias_ml.datasets.manifest import SPLITS
from tests.models.morphology.cutout_makers import drawn_set

COUNTS = {"train": 90, "validation": 30, "test": 30}


@pytest.fixture(scope="session")
def cutout_folder(tmp_path_factory):
    """Doubles, shells and blobs in two files a split, with a manifest."""
    folder = tmp_path_factory.mktemp("cutouts")
    splits = {}
    for number, split in enumerate(SPLITS):
        cutouts = drawn_set(COUNTS[split], seed=number + 1, field=split)
        half = len(cutouts) // 2
        for name, part in (("simulated-0000", cutouts[:half]), ("simulated-0001", cutouts[half:])):
            write_cutouts(folder / split / (name + CUTOUT_SUFFIX), part)
        fields = COUNTS[split] // 3
        splits[split] = {"fields": fields, "sources": {"simulated": {"maps": fields}}, "shards": {}, "cutouts": {}}
    document = {"configuration": {}, "cutouts": cutout_settings(), "splits": splits, "digest": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder
