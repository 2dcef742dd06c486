"""The interfaces for people: the command line, the local web pages, the notebook."""
