"""Exports: the files of a run folder."""
