"""Configuration: `tollway.yaml` and the environment, validated whole and loaded once."""
