"""Pages on this machine for its own browser: the judge and the dashboard."""
