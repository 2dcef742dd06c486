"""Disk space: estimates, limits, cleaning up."""
