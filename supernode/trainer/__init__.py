"""The resident trainer: the only part that reads the shard and the base model, and the only one without a network."""
