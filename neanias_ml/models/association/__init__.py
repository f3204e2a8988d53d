"""`IslandGraphNetwork`: which islands are parts of one object."""
