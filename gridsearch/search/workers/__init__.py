"""The leader and its workers."""
