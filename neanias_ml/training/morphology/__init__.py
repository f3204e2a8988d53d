"""Training of the morphology network: its cutouts as batches, its task, its scores and what a run of it leaves."""
