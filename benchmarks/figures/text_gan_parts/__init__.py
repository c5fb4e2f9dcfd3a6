"""Parts of benchmarks/figures/text_gans.py: languages, methods, the phases of a cell, tables."""
