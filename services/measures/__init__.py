"""Measures: what a model is worth on rows that it did not learn."""
