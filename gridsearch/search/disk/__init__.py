"""Disk space: its estimate, and removal of files that nothing refers to."""
