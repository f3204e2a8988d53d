"""A prepared folder of generated tiles, a few pixels wide, without simulation."""

import json

import numpy as np
import pytest
import torch

from neanias_ml.datasets.channels import CHANNEL_NAMES, channels_from_significance
from neanias_ml.datasets.shards import SHARD_SUFFIX, write_shard
from neanias_ml.datasets.tiles import IGNORED, PreparedTile, label_boxes
from neanias_ml.models.classes import CLASS_LABELS
from neanias_ml.models.config import IslandRCNNConfig

SIZE = 64


def make_tile(seed, *, size=SIZE, n=4, field="f"):
    """Blobs on noise: class 2 (compact) are small, class 3 (extended) are large, one island is ignored."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    snr = rng.normal(size=(size, size)).astype(np.float32)
    islands, labels = np.zeros((size, size), np.int16), []
    for number, place in enumerate(rng.permutation(9)[:n], start=1):
        large = rng.random() < 0.5
        centre = np.array(divmod(int(place), 3)) * 21 + 11 + rng.integers(-1, 2, size=2)
        distance = np.hypot(y - centre[0], x - centre[1]) / (7 if large else 3)
        snr += (20 * np.exp(-(distance**2) * 0.7)).astype(np.float32)
        islands[distance < 1] = number
        labels.append(3 if large else 2)
    instances = islands.copy()
    instances[islands == n] = IGNORED
    return PreparedTile(
        channels=channels_from_significance(snr, islands > 0, beam_fwhm_pixels=6.0).astype(np.float16),
        instances=instances,
        labels=np.array(labels[:-1], dtype=np.int64),
        islands=islands,
        island_boxes=label_boxes(islands, n),
        island_fluxes=np.ones(n, np.float32),
        island_instance=np.array([*range(1, n), IGNORED]),
        field=field,
    )


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory):
    """Shards of 24 training, 8 validation and 8 test tiles with a manifest."""
    folder = tmp_path_factory.mktemp("prepared")
    splits = {}
    for index, (split, count) in enumerate({"train": 24, "validation": 8, "test": 8}.items()):
        tiles = [make_tile(1000 * index + number, field=f"{split}-{number // 2}") for number in range(count)]
        name = f"shard-0000{SHARD_SUFFIX}"
        write_shard(folder / split / name, tiles)
        sources = {"simulated": {"maps": count // 2}}
        splits[split] = {
            "fields": count // 2, "tiles": count, "instances": {}, "sources": sources, "shards": {name: ""}
        }  # fmt: skip
    document = {
        "configuration": {"pixels_per_beam": 6.0, "tile_size": SIZE, "finder": {}, "seed_jitter": [4.5, 6.0]},
        "channels": list(CHANNEL_NAMES),
        "class_labels": CLASS_LABELS,
        "splits": splits,
        "digest": "0" * 64,
    }
    (folder / "manifest.json").write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="session")
def tiny_config():
    """A network of a few ten thousand parameters in the heads."""
    return IslandRCNNConfig(
        blocks=(1, 1, 1, 1),
        stem_pool=True,
        fpn_channels=16,
        head_features=32,
        mask_channels=16,
        proposal_mode="replace",
        regions_per_image=32,
    )


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
