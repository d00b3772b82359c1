"""A drawn talking face with known truth."""
