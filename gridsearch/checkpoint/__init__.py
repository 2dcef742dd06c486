"""A checkpoint on disk: header, identity, prediction type."""
