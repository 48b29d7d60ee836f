"""Segmentation: region -> maps -> labels -> owned nuclei -> run folder."""
