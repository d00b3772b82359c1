"""AVFR-GAN: audio-visual face reenactment (Agarwal et al., WACV 2023)."""
