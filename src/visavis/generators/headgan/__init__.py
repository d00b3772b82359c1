"""HeadGAN: a 3D face drives the head (Doukas et al., ICCV 2021)."""
