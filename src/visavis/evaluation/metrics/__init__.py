"""Metrics as pure functions of pictures."""
