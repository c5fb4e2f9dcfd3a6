"""Parts of benchmarks/figures/constitution.py: what is asked, the model that answers, and what people preferred."""
