"""Evidence that islands are artefacts, and the probability that follows."""
