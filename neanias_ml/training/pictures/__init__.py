"""Pictures that a training run leaves: one file per kind, each drawn from plain arrays and the names of classes.

Matplotlib is imported where something is drawn. Figures never touch its global state.
"""
