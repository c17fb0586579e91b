"""Weights that others published: their files, and their layouts."""
