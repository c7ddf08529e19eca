"""The coordinator's part: what runs beside Flower's SuperLink. It needs no GPU, no torch and no base model."""
