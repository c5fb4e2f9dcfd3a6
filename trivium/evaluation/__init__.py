"""How good a model is, and what is inside it."""
