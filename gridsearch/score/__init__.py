"""An image in, numbers and a verdict out."""
