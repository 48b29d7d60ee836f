"""Evaluation: scores of label maps, each with its definition and averaging rule."""
