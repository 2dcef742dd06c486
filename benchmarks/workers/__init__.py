"""What many workers on one study give, and what they cost its database."""
