"""The report: results in, pages, sheets and tables to look at out. Never imports torch."""
