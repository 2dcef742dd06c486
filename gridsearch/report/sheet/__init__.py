"""Contact sheets: prompts down, ratios across."""
