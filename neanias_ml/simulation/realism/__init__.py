"""How close simulated maps are to real ones: statistics of maps and distances between them."""
