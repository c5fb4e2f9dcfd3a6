"""One class a way of learning, without inheritance between them; what they share are functions."""
