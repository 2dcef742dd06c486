"""A merge as a file: where its recipe comes from, how it is written, what it records."""
