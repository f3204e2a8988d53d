"""Data for the network: channels, resampled tiles, shards, augmentation, preparation from simulated skies.

Import from the modules: what training on prepared data needs (``channels``, ``tiles``, ``shards``, ``tile_store``,
``augmentation`` and what that uses) runs without astropy; ``augment`` alone needs albumentations.
"""
