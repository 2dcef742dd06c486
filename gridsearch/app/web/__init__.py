"""Pages for the browser on this machine: the judge and the dashboard."""
