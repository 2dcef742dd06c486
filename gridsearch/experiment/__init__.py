"""One TOML file in, one frozen, validated Experiment out."""
