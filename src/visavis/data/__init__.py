"""Data sets: the shards that they are kept in, and where clips come from. Neither MediaPipe nor PyAV at import."""
