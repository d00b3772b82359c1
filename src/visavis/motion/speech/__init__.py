"""Sound to how a speaking face moves (Chen et al. 2020, sections 3.2 and 3.3)."""
