"""Motion in SEI messages of H.264 and H.265 (generative face video)."""
