"""Annotated data sets as samples with a scale, and their splits."""
