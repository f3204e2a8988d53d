"""Maps of Gaussians in memory and on disk."""

import numpy as np
from astropy.io import fits


def gaussians(shape, sources):
    """Sum of Gaussians (peak, x, y, sigma along x, sigma along y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    terms = (p * np.exp(-((x - cx) ** 2) / (2 * sx**2) - (y - cy) ** 2 / (2 * sy**2)) for p, cx, cy, sx, sy in sources)
    return sum(terms, np.zeros(shape))


def write_map(path, pixels, *, pixel=1.8, beam=5.4, ra=150.0):
    header = fits.Header(
        {
            "BMAJ": beam / 3600, "BMIN": beam / 3600, "BPA": 0.0, "BUNIT": "Jy/beam", "CTYPE1": "RA---SIN",
            "CTYPE2": "DEC--SIN", "CRVAL1": ra, "CRVAL2": 20.0, "CRPIX1": pixels.shape[1] / 2,
            "CRPIX2": pixels.shape[0] / 2, "CDELT1": -pixel / 3600, "CDELT2": pixel / 3600,
        }
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, (pixels * 1e-4).astype(np.float32), header)
