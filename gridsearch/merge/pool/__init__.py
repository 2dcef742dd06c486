"""The models of a folder beside one another, and the models of which one was made."""
