"""Statistics on a study's trials: the best ratio, its interval, the window that survives."""
