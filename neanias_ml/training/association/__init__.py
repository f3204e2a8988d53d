"""Training of IslandGraphNetwork: its graphs as batches, its task, its scores and what a run of it leaves."""
