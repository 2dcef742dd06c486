"""A1111's X/Y/Z grids: their axes, and cutting them into cells."""
