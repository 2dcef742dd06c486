"""Blind pairs, shown to a person."""
