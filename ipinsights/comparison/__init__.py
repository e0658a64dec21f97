"""Is the new one worse? Training runs side by side, and scores of the same pairs side by side."""
