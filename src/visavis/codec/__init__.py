"""Motion, pictures and sound of a call as bytes, and back. No torch, and no generator, is known here."""
