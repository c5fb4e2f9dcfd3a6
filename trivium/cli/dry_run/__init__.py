"""What --dry-run tells of a verb before it works: what is asked of the machine, and about how long it takes."""
