"""Shapes of islands: contours, boxes, moments."""
