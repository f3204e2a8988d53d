"""Labels of images: value objects, formats, checks and pictures."""
