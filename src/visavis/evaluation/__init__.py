"""Metrics, protocols and built-in models to compare with."""
