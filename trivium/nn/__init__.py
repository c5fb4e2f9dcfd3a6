"""Parts that architectures are built of, and nothing that knows a whole architecture."""
