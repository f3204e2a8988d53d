"""Labels, channels, resampled tiles, shards, variation of tiles, preparation from simulated and real maps.

Import from the modules: what training on prepared data needs (``channels``, ``tiles``, ``shards``, ``tile_store``,
``variation``) runs without astropy; ``variation.geometry`` alone needs albumentations.
"""
