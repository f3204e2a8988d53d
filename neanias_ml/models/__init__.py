"""Networks: IslandRCNN fed with classical islands, its proposals, calibration and bundles.

Import from the modules, so that ``classes`` and ``proposals`` stay free of torch.
"""
