"""The command line."""

from visavis.core.processor import let_numpy_use_one_thread

# Before any verb loads NumPy.
let_numpy_use_one_thread()
