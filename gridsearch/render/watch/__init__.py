"""Looking on while an image is drawn: traces, previews, early abort."""
