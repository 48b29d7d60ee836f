"""Nuclei as objects: outlines, measurements in um, and the table that holds them."""
