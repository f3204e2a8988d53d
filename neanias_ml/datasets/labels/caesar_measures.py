"""What CAESAR's JSON sidecars say of an image and of its objects, measured where another format does not say it.

Fluxes are in Jy/beam (in grey values for pictures), sizes of beams and pixels in arcsec, boxes in pixels. What cannot
be known, such as the beam of a picture, is -999, as CAESAR writes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neanias_ml.datasets.labels.images import ARCSEC, ImageFile
from neanias_ml.datasets.labels.labelled import LabelledObject
from neanias_ml.datasets.labels.polygons import pixel_corners, smallest_box

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]
UNKNOWN = -999.0
CLIP_SIGMA = 3.0
"""Background and noise are those of the pixels outside of all masks, clipped so until nothing changes."""
CLIP_ROUNDS = 20
NEAR_BEAMS = 2.0
"""An object is near a sidelobe when a spurious object comes so close to it."""
NEAR_PIXELS = 10.0
"""The same where the beam is not known."""
EIGHT = np.ones((3, 3), dtype=bool)


def image_measures(image: ImageFile | None, masked: Mask) -> dict[str, Any]:
    """Fields ``telescope, bkg, rms, bmaj, bmin, dx, dy`` of an image.

    Parameters
    ----------
    image
        The image, or None where its file is missing.
    masked
        (ny, nx) pixels of any object.
    """
    fields: dict[str, Any] = {"telescope": "unknown", "bkg": UNKNOWN, "rms": UNKNOWN}
    fields |= dict.fromkeys(("bmaj", "bmin", "dx", "dy"), UNKNOWN)
    if image is None:
        return fields
    pixels = image.pixels()
    fields["bkg"], fields["rms"] = clipped_background(pixels[~masked & np.isfinite(pixels)])
    radio_map = image.radio_map
    if radio_map is None:
        return fields
    fields["telescope"] = _telescope(image)
    if image.has_beam:
        fields["bmaj"], fields["bmin"] = radio_map.beam.major * ARCSEC, radio_map.beam.minor * ARCSEC
    if image.has_scale:
        jacobian = radio_map.tangent_jacobian((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
        fields["dx"], fields["dy"] = (float(value) * ARCSEC for value in np.hypot(*jacobian))
    return fields


def object_measures(
    labelled: LabelledObject, image: ImageFile | None, fields: dict[str, Any], *, spurious: Sequence[LabelledObject]
) -> dict[str, Any]:
    """Fields of one object, from its mask, the image and the fields of the image.

    ``snr`` is CAESAR's: the sum above the background over ``rms * sqrt(npix)``, blind to the beam's correlation.
    ``bbox_*`` is the smallest rotated box around the whole pixels: centre, width along ``bbox_angle`` (degrees in
    [0, 90) from +x towards +y), height. ``maxsize_img_fract`` is the box's longer side over the image's.

    Parameters
    ----------
    spurious
        The image's artefacts, for ``sidelobe-near``.
    """
    mask, inside = labelled.mask, labelled.mask.pixels()
    ny, nx = mask.shape
    x0, y0, x1, y1 = mask.box
    touches = mask.area > 0 and (x0 == 0 or y0 == 0 or x1 == nx or y1 == ny)
    beam_pixels = _beam_pixels(image)
    reach = NEAR_BEAMS * beam_pixels if beam_pixels else NEAR_PIXELS
    others = [other for other in spurious if other is not labelled]
    found: dict[str, Any] = {
        "nislands": int(ndimage.label(inside, structure=EIGHT)[1]),
        "sidelobe-mixed": int(labelled.class_name == "flagged"),
        "sidelobe-near": int(any(closer_than(labelled, other, reach) for other in others)),
        "border": int(touches),
        "npix": mask.area,
    }
    return found | _fluxes(image, inside, fields) | _sizes(inside, image, beam_pixels)


def clipped_background(values: NDArray[np.floating]) -> tuple[float, float]:
    """Median and standard deviation of values, clipped; unknown where there are none."""
    kept = np.asarray(values, dtype=np.float64)
    if kept.size == 0:
        return UNKNOWN, UNKNOWN
    for _ in range(CLIP_ROUNDS):
        middle, spread = float(np.median(kept)), float(kept.std())
        inside = np.abs(kept - middle) <= CLIP_SIGMA * spread
        if inside.all():
            break
        kept = kept[inside]
    return float(np.median(kept)), float(kept.std())


def closer_than(first: LabelledObject, second: LabelledObject, pixels: float) -> bool:
    """Whether two masks come closer than a distance in pixels."""
    reach = math.ceil(pixels)
    x0, y0, x1, y1 = first.mask.box
    u0, v0, u1, v1 = second.mask.box
    if 0 in (first.mask.area, second.mask.area) or max(u0 - x1, x0 - u1, v0 - y1, y0 - v1) > reach:
        return False
    distance = ndimage.distance_transform_edt(~first.mask.pixels())
    return bool(distance[second.mask.pixels()].min() <= pixels)


def _fluxes(image: ImageFile | None, inside: Mask, fields: dict[str, Any]) -> dict[str, float]:
    bkg, rms, count = fields.get("bkg"), fields.get("rms"), int(inside.sum())
    if image is None or count == 0:
        return {"Stot": UNKNOWN, "snr": UNKNOWN}
    values = image.pixels()[inside].astype(np.float64)
    total = float(values[np.isfinite(values)].sum())
    known = all(isinstance(value, (int, float)) and math.isfinite(value) for value in (bkg, rms))
    if not known or bkg is None or rms is None or not rms > 0:
        return {"Stot": total, "snr": UNKNOWN}
    return {"Stot": total, "snr": (total - bkg * count) / (rms * math.sqrt(count))}


def _sizes(inside: Mask, image: ImageFile | None, beam_pixels: float) -> dict[str, float]:
    names = ("bbox_x", "bbox_y", "bbox_w", "bbox_h", "bbox_angle")
    beams = {"nbeams": UNKNOWN, "maxsize_beam": UNKNOWN, "minsize_beam": UNKNOWN}
    if not inside.any():
        return dict.fromkeys((*names, "maxsize_img_fract", "minsize_img_fract"), UNKNOWN) | beams
    box = smallest_box(pixel_corners(inside))
    longest, shortest, side = max(box[2:4]), min(box[2:4]), max(inside.shape)
    if beam_pixels and image is not None and image.radio_map is not None:
        beams["nbeams"] = float(inside.sum() / image.radio_map.beam_area)
        beams["maxsize_beam"], beams["minsize_beam"] = longest / beam_pixels, shortest / beam_pixels
    fractions = {"maxsize_img_fract": longest / side, "minsize_img_fract": shortest / side}
    return dict(zip(names, box, strict=True)) | fractions | beams


def _beam_pixels(image: ImageFile | None) -> float:
    """Full width of the beam in pixels; 0 where it is not known."""
    known = image is not None and image.radio_map is not None and image.has_beam and image.has_scale
    return image.radio_map.beam_fwhm if known and image is not None and image.radio_map is not None else 0.0


def _telescope(image: ImageFile) -> str:
    from astropy.io import fits

    with fits.open(image.path) as hdus:
        return next((name for hdu in hdus if (name := str(hdu.header.get("TELESCOP", "")).strip())), "unknown")
