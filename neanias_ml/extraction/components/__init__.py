"""Gaussian components: fits, deblending, decomposition of large islands, their table."""
