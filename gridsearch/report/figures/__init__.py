"""The report's figures: each module with a function `figures_of` adds its own."""
