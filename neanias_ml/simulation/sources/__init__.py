"""What is in the sky: kinds of sources, their numbers, sizes and shapes."""
