"""Training of IslandRCNN: its tiles as batches, its task, its scores and what a run of it leaves."""
