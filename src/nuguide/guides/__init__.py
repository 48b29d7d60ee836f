"""Guides: frozen foundation encoders that turn tissue into tokens."""
