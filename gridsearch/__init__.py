"""gridsearch: find, overnight, the ratio at which SDXL checkpoints should be merged."""

__version__ = "0.1.0"
