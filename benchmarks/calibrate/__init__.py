"""The answer of each metric to graded damage, its cost, and the figures of the documentation.

make calibrate        # writes docs/calibration.md and docs/calibration/*.png
"""
