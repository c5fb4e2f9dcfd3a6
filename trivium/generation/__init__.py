"""From a model's distribution to a text: how the next token is chosen, and when to stop."""
