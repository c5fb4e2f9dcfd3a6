"""Megatron-Turing NLG 530B (Smith et al. 2022, "Using DeepSpeed and Megatron to Train Megatron-Turing NLG 530B, A
Large-Scale Generative Language Model"), from section 3.2 of the paper.

GPT-2 (`gpt2.py`) with 105 layers of width 20,480 and 128 heads, for texts of 2,048 tokens, and it is that network which
is built here. What the paper changes is how it is trained: weights begin as N(0, 0.004^2) for such a width, where
ours begin as GPT-2's, N(0, 0.02^2). Weights were never published.

A guess: the vocabulary is GPT-2's 50,257 pieces; the table that was trained may have some rows more, to be cut evenly
among processors.
"""

from trivium.models.gpt2 import GPT2, GPT2Config, weight_map

__all__ = ["GPT2", "SIZES", "GPT2Config", "weight_map"]

SIZES = {
    "mt-nlg-530b": GPT2Config(width=20480, layers=105, heads=128, context_tokens=2048),
}
"""Section 3.2 of the paper."""
