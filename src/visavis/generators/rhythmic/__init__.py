"""The 3D-aware generative network of rhythmic talking heads (ECCV 2020)."""
