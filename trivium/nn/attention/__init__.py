"""Who looks at whom, and how much."""
