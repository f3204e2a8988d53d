"""`read_map`: a FITS file of a radio survey, however untidy, as a `RadioMap`; or an error that says what to do."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path

from neanias_ml.errors import InputError, UsageError
from neanias_ml.maps.beam import Beam
from neanias_ml.maps.file_gate import FileLayout, HduLayout, inspect_file
from neanias_ml.maps.header_axes import PlaneAxes, locate_plane, reference_frequency, spectral_channel
from neanias_ml.maps.header_beam import BeamResult, beam_from_file
from neanias_ml.maps.header_cards import HeaderCards
from neanias_ml.maps.header_wcs import SkyResult, sky_from_cards
from neanias_ml.maps.pixel_readers import FileReader
from neanias_ml.maps.radio_map import RadioMap
from neanias_ml.maps.sky import SkyFrame
from neanias_ml.maps.source import MapSource
from neanias_ml.maps.units import scale_to_jansky_per_beam
from neanias_ml.maps.usability import require_usable_beam, require_usable_shape
from neanias_ml.maps.windows import Window

_ESTIMATE_SIDE = 1024
"""Side in pixels of the central window from which a missing pixel size is estimated."""


def read_map(
    path: str | os.PathLike[str],
    *,
    hdu: int | None = None,
    plane: int | None = None,
    beam: Beam | None = None,
    pixel_scale: float | None = None,
) -> RadioMap:
    """Open a radio map; pixels are read later, window by window.

    FITS with two or more axes in any order, plain, gzipped or tile-compressed. Values come out in Jy/beam.

    Parameters
    ----------
    path
        The file.
    hdu
        Index of the header-data unit; the first image when omitted.
    plane
        0-based plane of a cube; several further axes count with the first running fastest.
    beam
        Restoring beam, instead of what the file says; its angle counts from the north of the map's own frame.
    pixel_scale
        Pixel size in degrees, for files that do not say.

    Returns
    -------
    RadioMap
        Its ``flags`` name what was repaired or assumed: ``HeaderRepaired``, ``HduChosen``, ``AxesTransposed``,
        ``NoWcs``, ``BadWcs``, ``FrameAssumed``, ``BeamFromUser``, ``BeamFromHistory``, ``BeamFromTable``,
        ``BeamCircularAssumed``, ``UnitAssumed``, ``UnitCaseAssumed``, ``PixelScaleFromUser``,
        ``PixelScaleEstimated``; its ``notes`` say why there are no sky positions.

    Raises
    ------
    InputError
        When the file is no usable map; ``code`` tells why, the message tells the remedy.
    """
    path = Path(path)
    layout = inspect_file(path)
    image, flags = _choose_image(layout, hdu=hdu)
    where = str(path) if hdu is None and not image.index else f"{path}, HDU {image.index}"
    axes = locate_plane(image.cards, image.shape, plane=plane, where=where)
    shape = (image.shape[axes.lat - 1], image.shape[axes.lon - 1])
    require_usable_shape(shape, where=where)
    sky = sky_from_cards(image.cards, axes, shape=shape)
    if beam is not None:
        found = BeamResult(beam, flags=("BeamFromUser",))
    else:
        channel = spectral_channel(image.cards, axes) if plane is not None else None
        found = beam_from_file(layout, image, channel=channel, where=where)
    reader = _file_reader(layout, image, axes, where=where)
    scale, scale_flags = _pixel_scale(sky, reader, shape, beam=found.beam, given=pixel_scale, where=where)
    flags += (("HeaderRepaired",) if image.cards.repaired else ()) + (("AxesTransposed",) if axes.is_transposed else ())
    flags += sky.flags + found.flags + scale_flags
    radio_map = RadioMap(
        shape=shape,
        reader=reader,
        beam=beam_on_sky(found.beam, sky.sky),
        pixel_scale=scale,
        sky=sky.sky,
        frequency=reference_frequency(image.cards, axes),
        source=MapSource(path=path, hdu=image.index),
        flags=flags,
        notes=() if sky.sky is not None else (f"The map gets no sky positions: {sky.reason}.",),
    )
    require_usable_beam(radio_map)
    return _in_jansky_per_beam(radio_map, reader, image.cards, where=where)


def _choose_image(layout: FileLayout, *, hdu: int | None) -> tuple[HduLayout, tuple[str, ...]]:
    images = [unit for unit in layout.hdus if unit.is_image]
    if hdu is not None:
        chosen = next((unit for unit in images if unit.index == hdu), None)
        if chosen is None:
            listed = ", ".join(str(unit.index) for unit in images) or "none"
            raise InputError("NoImage", f"{layout.path}: HDU {hdu} holds no image (images: {listed}); choose another")
        return chosen, ()
    if not images:
        raise InputError("NoImage", f"{layout.path} holds no image of two axes or more (only tables?); give a map")
    return images[0], ("HduChosen",) if len(images) > 1 else ()


def _file_reader(layout: FileLayout, image: HduLayout, axes: PlaneAxes, *, where: str) -> FileReader:
    cards = image.cards
    scale, zero = cards.number("BSCALE"), cards.number("BZERO")
    scale, zero = 1.0 if scale is None else scale, 0.0 if zero is None else zero
    if not (math.isfinite(scale) and math.isfinite(zero)) or scale == 0.0:
        raise InputError("FitsHeader", f"{where}: BSCALE {scale} and BZERO {zero} give no pixel values; fix the header")
    return FileReader(
        path=layout.path,
        hdu=image.index,
        data_offset=image.data_offset,
        bitpix=cards.integer("BITPIX") or 8,
        shape=image.shape,
        axes=axes,
        scale=scale,
        zero=zero,
        blank=cards.integer("BLANK") if "BLANK" in cards else cards.integer("ZBLANK"),
        is_gzip=layout.is_gzip,
        is_compressed=image.is_compressed,
    )


def _pixel_scale(
    sky: SkyResult, reader: FileReader, shape: tuple[int, int], *, beam: Beam, given: float | None, where: str
) -> tuple[float, tuple[str, ...]]:
    """Pixel size in degrees: the WCS's, the user's, bare CDELT's, or from the correlation of the noise."""
    if given is not None and not (math.isfinite(given) and given > 0):
        raise UsageError("PixelScaleImplausible", f"a pixel size of {given} deg is not positive")
    if sky.sky is not None and sky.pixel_scale is not None:
        if given is not None and abs(given / sky.pixel_scale - 1.0) > 0.01:
            raise UsageError(
                "PixelScaleConflict",
                f"{where} has pixels of {sky.pixel_scale * 3600:.4g} arcsec, not {given * 3600:.4g}; "
                "leave --pixel-scale out",
            )
        return sky.pixel_scale, ()
    if given is not None:
        return given, ("PixelScaleFromUser",)
    if sky.pixel_scale is not None:
        return sky.pixel_scale, ()
    rows, columns = (max(0, (length - _ESTIMATE_SIDE) // 2) for length in shape)
    window = Window(rows, min(shape[0], rows + _ESTIMATE_SIDE), columns, min(shape[1], columns + _ESTIMATE_SIDE))
    from neanias_ml.maps.estimate import estimate_beam_fwhm  # scipy is loaded for the few maps that need it

    estimate = estimate_beam_fwhm(reader(window), axis_ratio=beam.major / beam.minor)
    if not estimate.is_trustworthy:
        raise InputError(
            "PixelScaleMissing",
            f"{where} does not say its pixel size, and its noise does not tell it either ({estimate.reason}); "
            "give it with --pixel-scale ARCSEC",
        )
    return math.sqrt(beam.major * beam.minor) / estimate.fwhm, ("PixelScaleEstimated",)


def beam_on_sky(beam: Beam, sky: SkyFrame | None) -> Beam:
    """A header's beam with its angle from ICRS north; headers count it from the north of the map's own frame."""
    return _turned(beam, _frame_turn(sky))


def beam_in_frame(beam: Beam, sky: SkyFrame | None) -> Beam:
    """The inverse of `beam_on_sky`: the beam as a header beside this geometry says it."""
    return _turned(beam, -_frame_turn(sky))


def _frame_turn(sky: SkyFrame | None) -> float:
    """Degrees from the north of the map's frame to ICRS north; 0 for J2000 frames, whose angles stay as written."""
    turn = sky.frame_rotation() if sky is not None else 0.0
    return turn if abs(turn) > 0.05 else 0.0


def _turned(beam: Beam, turn: float) -> Beam:
    return beam if turn == 0.0 else dataclasses.replace(beam, position_angle=(beam.position_angle + turn) % 180.0)


def _in_jansky_per_beam(radio_map: RadioMap, reader: FileReader, cards: HeaderCards, *, where: str) -> RadioMap:
    unit = scale_to_jansky_per_beam(
        cards.text("BUNIT"),
        beam=radio_map.beam,
        beam_area=radio_map.beam_area,
        frequency=radio_map.frequency,
        where=where,
    )
    scaled = dataclasses.replace(reader, scale=reader.scale * unit.factor, zero=reader.zero * unit.factor)
    return dataclasses.replace(radio_map, reader=scaled, original_unit=unit.unit, flags=radio_map.flags + unit.flags)
