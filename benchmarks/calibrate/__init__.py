"""How each metric answers to graded damage, what it costs, and the figures of the documentation.

make calibrate        # writes docs/calibration.md and docs/calibration/*.png
"""
