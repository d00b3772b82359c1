"""What the receiver does with generated pictures: more of them, and larger ones (thesis, sections 3.3.4 and 3.3.5)."""

#: By how much the network of super-resolution enlarges.
FACTOR = 2
