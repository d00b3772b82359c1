"""Motion of a video's face beside its pictures: generative face video messages in H.264 and H.265."""
