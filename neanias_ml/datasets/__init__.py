"""Data for the network: channels, resampled tiles, shards, augmentation, preparation from simulated skies.

Import from the modules: ``channels``, ``tiles``, ``shards`` and ``dihedral`` need numpy and scipy alone, so that
training on prepared data runs without astropy; ``augment`` alone needs albumentations.
"""
