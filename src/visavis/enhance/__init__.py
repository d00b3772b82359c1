"""What the receiver does with generated pictures: more of them, and larger ones (thesis, sections 3.3.4 and 3.3.5)."""
