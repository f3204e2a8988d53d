"""Training of the networks: Lightning tasks, callbacks and the recipe from simulated skies to a model bundle.

The one room that knows Lightning. Import from the modules.
"""
