"""The programs whose pictures hold a prompt: a module each, which reads it and the settings."""
