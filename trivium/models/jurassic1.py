"""Jurassic-1 (Lieber et al. 2021, "Jurassic-1: Technical Details and Evaluation"), from the description in the paper.

GPT-2 (`gpt2.py`) in other sizes, and it is that network which is built here: section 2 changes nothing but depth, width
and vocabulary. 76 layers of width 13,824 where GPT-3 has 96 of 12,288, after Levine et al. (2020) on what depth and
width are worth to each other; and 256K pieces, among them expressions of several words. Weights and program were
never published.

Guesses: that 256K is 256,000 (262,144 would make 0.05 % more), and biases, GELU and tied embeddings as in GPT-2; the
published counts come out with tied ones.
"""

from trivium.models.gpt2 import GPT2, GPT2Config, weight_map

__all__ = ["GPT2", "SIZES", "GPT2Config", "weight_map"]

SIZES = {
    "j1-large": GPT2Config(vocabulary_size=256000, width=4096, layers=32, heads=32, context_tokens=2048),
    "j1-jumbo": GPT2Config(vocabulary_size=256000, width=13824, layers=76, heads=96, context_tokens=2048),
}
"""Table 1 of the paper."""
