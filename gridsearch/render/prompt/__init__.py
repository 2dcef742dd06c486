"""From a prompt's text to its embedding."""
