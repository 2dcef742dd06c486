"""Watching images while they are rendered: traces, previews, early abort."""
