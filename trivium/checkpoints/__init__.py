"""The checkpoint folder: written so that no crash can tear it, checked before anything in it is believed."""
