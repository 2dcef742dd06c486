"""The worth of searches on simulated curves: the window, the best ratio, and the renders that they take."""
