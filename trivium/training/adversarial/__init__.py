"""Generators of text against discriminators: one file for each method, the same learner for all."""
