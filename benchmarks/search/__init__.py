"""How well a search finds the window and the best ratio, and with how few renders, on simulated curves."""
