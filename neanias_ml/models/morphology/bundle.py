"""`MorphologyBundle`: a morphology network ready for use, written to and read from a bundle folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neanias_ml.datasets.cutout_store import MorphologyCutout
from neanias_ml.models.bundle_folder import read_bundle_settings, save_network, with_weights_of
from neanias_ml.models.morphology.classes import MORPHOLOGY_NAMES, UNSURE
from neanias_ml.models.morphology.inputs import cutout_inputs
from neanias_ml.models.morphology.network import MorphologyNetwork
from neanias_ml.models.morphology.settings import NETWORK, MorphologySettings
from neanias_ml.models.weights import Storage

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MorphologyAnswer:
    """What a network says of some objects.

    Attributes
    ----------
    probabilities
        (N, 9) calibrated, in the order of ``MORPHOLOGY_NAMES``.
    names
        (N,) the most probable class, or ``UNSURE`` where it is not probable enough.
    """

    probabilities: FloatArray
    names: NDArray[np.str_]


@dataclass(frozen=True)
class MorphologyBundle:
    """A morphology network in evaluation mode.

    Attributes
    ----------
    model
        With the weights of the bundle.
    settings
        How its outputs are read.
    digest
        sha256 that stands for every file of the bundle.
    """

    model: MorphologyNetwork
    settings: MorphologySettings
    digest: str

    def classify(self, cutouts: Sequence[MorphologyCutout], *, batch_size: int = 64) -> MorphologyAnswer:
        """Probabilities and names of objects (see `neanias_ml.datasets.cutouts.cut_object`)."""
        settings = self.settings
        logits = cutout_logits(self.model, cutouts, batch_size=batch_size, orientations=settings.orientations)
        probabilities = softened(logits, temperature=settings.temperature, offsets=settings.offsets)
        return MorphologyAnswer(probabilities, names_of(probabilities, unsure_below=settings.unsure_below))


def cutout_logits(
    model: MorphologyNetwork, cutouts: Sequence[MorphologyCutout], *, batch_size: int = 64, orientations: int = 1
) -> FloatArray:
    """Log-probabilities (N, 9) of cutouts, in batches, on the model's device; the model must be in evaluation mode.

    Parameters
    ----------
    orientations
        Turns and mirror images over which they are averaged; see `MorphologySettings`.
    """
    device = next(model.parameters()).device
    parts = [np.empty((0, len(MORPHOLOGY_NAMES)))]
    for start in range(0, len(cutouts), batch_size):
        inputs = [cutout_inputs(cutout) for cutout in cutouts[start : start + batch_size]]
        images = torch.from_numpy(np.stack([one.image for one in inputs])).to(device)
        scalars = torch.from_numpy(np.stack([one.scalars for one in inputs])).to(device)
        with torch.inference_mode():
            views = [model(oriented(images, view), scalars).double().log_softmax(1) for view in range(orientations)]
            parts.append(torch.stack(views).mean(0).log_softmax(1).cpu().numpy())
    return np.concatenate(parts)


def oriented(images: torch.Tensor, view: int) -> torch.Tensor:
    """Images (B, C, F, F) after ``view`` quarter turns; for 4 to 7 after ``view - 4``, and mirrored."""
    turned = torch.rot90(images, view % 4, (2, 3))
    return turned.flip(3) if view >= 4 else turned


def softened(logits: FloatArray, *, temperature: float, offsets: Sequence[float] = ()) -> FloatArray:
    """Probabilities (N, C): softmax of the logits over a temperature, plus an offset of each class where given."""
    scaled = logits / temperature + (np.asarray(offsets) if len(offsets) else 0.0)
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf))
    return scaled / scaled.sum(axis=1, keepdims=True)


def names_of(probabilities: FloatArray, *, unsure_below: float) -> NDArray[np.str_]:
    """Name (N,) of the most probable class, ``UNSURE`` where its probability is below a limit."""
    names = np.array([*MORPHOLOGY_NAMES, UNSURE])
    sure = probabilities.max(axis=1) >= unsure_below
    chosen: NDArray[np.str_] = names[np.where(sure, probabilities.argmax(axis=1), len(MORPHOLOGY_NAMES))]
    return chosen


def save_morphology_bundle(
    model: MorphologyNetwork,
    directory: Path | str,
    *,
    settings: MorphologySettings,
    card: str,
    storage: Storage = "float16",
    overwrite: bool = False,
) -> str:
    """Write the bundle of a morphology network; see `neanias_ml.models.bundle_folder.save_network`."""
    return save_network(
        model, directory, settings=settings, network=NETWORK, card=card, storage=storage, overwrite=overwrite
    )


def load_morphology_bundle(directory: Path | str, *, device: torch.device | str = "cpu") -> MorphologyBundle:
    """Check every file against ``DIGESTS`` and build the network of a bundle folder.

    Raises
    ------
    ModelError
        ``BundleMissing``, ``BundleIncomplete``, ``PickleRefused``, ``WeightsDamaged``, ``WeightsNotFinite``,
        ``WeightsMismatch``, ``OtherNetwork``, ``ConfigInvalid``, ``ConfigVersion`` or ``ConfigUnknownKey``.
    """
    settings, digest = read_bundle_settings(directory, MorphologySettings, network=NETWORK)
    model = with_weights_of(directory, MorphologyNetwork(settings.architecture), device=device)
    return MorphologyBundle(model, settings, digest)
