"""What to train, before any of it is trained: how large a model, on how much text, for how long."""
