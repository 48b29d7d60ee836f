"""Slides: images with a scale, read in regions."""
