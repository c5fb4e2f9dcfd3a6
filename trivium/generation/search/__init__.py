"""Growing several answers to a prompt and keeping the best: beams, contrastive search, best of several samples."""
