"""A study that several processes share, in SQLite or PostgreSQL."""
