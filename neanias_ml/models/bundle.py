"""`ModelBundle`: a detector with everything that its use needs, written to and read from a bundle folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from neanias_ml.datasets.channels import CHANNEL_NAMES
from neanias_ml.errors import ModelError
from neanias_ml.models.bundle_folder import CONFIG_FILE, verify_bundle, write_bundle_folder
from neanias_ml.models.rcnn import IslandRCNN
from neanias_ml.models.settings import BundleSettings, settings_from_json, settings_to_json
from neanias_ml.models.weights import Storage, fill_model, load_weights


@dataclass(frozen=True)
class ModelBundle:
    """A detector ready for use, in evaluation mode.

    Attributes
    ----------
    model
        With the weights and the operating point of the bundle.
    settings
        How maps are to be prepared for it.
    digest
        sha256 that stands for every file of the bundle; see `neanias_ml.models.bundle_folder.bundle_digest`.
    """

    model: IslandRCNN
    settings: BundleSettings
    digest: str


def save_bundle(
    model: IslandRCNN,
    directory: Path | str,
    *,
    settings: BundleSettings,
    card: str,
    storage: Storage = "float16",
    overwrite: bool = False,
) -> str:
    """Write the bundle of a detector, all or nothing, and return its digest.

    Parameters
    ----------
    model
        Its configuration must be ``settings.architecture``.
    card, storage, overwrite
        See `neanias_ml.models.bundle_folder.write_bundle_folder`.

    Raises
    ------
    ModelError
        ``BundleExists``, ``ConfigInvalid`` or ``WeightsNotFinite``; nothing is left behind.
    """
    if model.config != settings.architecture:
        raise ModelError("ConfigInvalid", "settings.architecture differs from the configuration of the model")
    return write_bundle_folder(
        directory,
        state=model.state_dict(),
        config=settings_to_json(settings),
        card=card,
        storage=storage,
        overwrite=overwrite,
    )


def load_bundle(directory: Path | str, *, device: torch.device | str = "cpu") -> ModelBundle:
    """Check every file against ``DIGESTS`` and build the detector of a bundle folder.

    Raises
    ------
    ModelError
        ``BundleMissing``, ``BundleIncomplete``, ``PickleRefused``, ``WeightsDamaged``, ``WeightsNotFinite``,
        ``WeightsMismatch``, ``ConfigInvalid``, ``ConfigVersion``, ``ConfigUnknownKey`` or ``ChannelsDiffer``.
    """
    folder = Path(directory)
    digest = verify_bundle(folder)
    config = folder / CONFIG_FILE
    settings = settings_from_json(config.read_text(encoding="utf-8"), where=str(config))
    _require_known_channels(settings, folder)
    model = IslandRCNN(settings.architecture, operating_point=settings.operating_point)
    fill_model(model, load_weights(folder), where=str(folder))
    model.to(device).eval()
    return ModelBundle(model, settings, digest)


def _require_known_channels(settings: BundleSettings, folder: Path) -> None:
    """A network fed with other images than it was trained on would answer nonsense without any error."""
    if settings.channels != CHANNEL_NAMES:
        raise ModelError(
            "ChannelsDiffer",
            f"{folder} was trained on the channels {', '.join(settings.channels)}, this version makes "
            f"{', '.join(CHANNEL_NAMES)}; install the version of neanias_ml that wrote the model, or train it again",
        )
