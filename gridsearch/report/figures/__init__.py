"""The report's figures: each module adds its own, and nothing lists them."""
