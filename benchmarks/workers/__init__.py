"""The gain of many workers on one study, and their cost to its database."""
