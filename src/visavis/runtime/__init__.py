"""The same networks on other engines than torch: their graphs compiled once for this processor, and kept."""
