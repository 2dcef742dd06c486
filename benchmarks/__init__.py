"""The speeds that are claimed, measured side by side in one process."""
