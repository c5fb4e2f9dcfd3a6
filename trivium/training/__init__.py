"""Training: learners own the mathematics of one update, the trainer owns time, a run is a folder."""
