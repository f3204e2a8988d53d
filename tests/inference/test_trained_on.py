import dataclasses

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.extraction import BackgroundConfig, FinderConfig
from neanias_ml.inference.trained_on import extraction_departures
from neanias_ml.models.config import IslandRCNNConfig
from neanias_ml.models.settings import BundleSettings


def settings(**extractor):
    return BundleSettings(
        architecture=IslandRCNNConfig(),
        pixels_per_beam=6.0,
        channels=CHANNEL_NAMES,
        window_size=512,
        extractor=extractor,
    )


TRAINED = settings(finder=dataclasses.asdict(FinderConfig()), seed_jitter=[4.5, 6.0])


def test_the_same_settings_are_no_departure():
    assert extraction_departures(FinderConfig(), TRAINED.extractor) == ()
    assert extraction_departures(FinderConfig(seed_threshold=5.7), TRAINED.extractor) == ()
    assert extraction_departures(FinderConfig(extended_flux_excess=1.0), TRAINED.extractor) == ()


def test_departures_are_named():
    finder = FinderConfig(seed_threshold=8.0, background=BackgroundConfig(mesh_beams=30.0))
    (sentence,) = extraction_departures(finder, TRAINED.extractor, network="association network")
    assert "seed_threshold 8.0 (training: 5.0)" in sentence
    assert "background.mesh_beams 30.0 (training: 12.0)" in sentence
    assert "merge" not in sentence and "of the association network's training" in sentence


def test_a_bundle_without_record_says_nothing():
    assert extraction_departures(FinderConfig(seed_threshold=8.0), settings().extractor) == ()
