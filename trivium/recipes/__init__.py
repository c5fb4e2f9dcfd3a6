"""Whole jobs, each of which reads top to bottom: configure, build, train, evaluate, sample."""
