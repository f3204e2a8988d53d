"""What may happen to a training tile: copies, noise, rotation, symmetries."""
