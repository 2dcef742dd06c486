"""The results folder: the study, its tables, and their analysis."""
