"""Parts of benchmarks/figures/alignment.py: scorers, a loophole, sums, tables."""
