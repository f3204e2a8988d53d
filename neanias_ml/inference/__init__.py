"""Inference: windows over a map, association of islands, classified and measured objects.

Import from the modules, so that the tables in ``objects`` stay free of torch.
"""
