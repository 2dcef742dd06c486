"""report.html: tables, figures and the image comparer on one page."""
