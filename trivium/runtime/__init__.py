"""What every run stands on: machine, device, number format, seeds, threads, processes, signals, progress."""
