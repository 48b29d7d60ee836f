"""Ablation: variants of a recipe, trained and scored on equal terms."""
