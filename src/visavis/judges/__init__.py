"""Whole networks that judge pictures, faces and sound: none of them makes a picture."""
