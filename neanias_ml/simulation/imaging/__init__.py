"""What the instrument makes of it: arrays, noise, mosaics, faults of calibration and deconvolution."""
