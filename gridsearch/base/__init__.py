"""The parts that every room may use: errors, files, pictures, the machine, words."""
