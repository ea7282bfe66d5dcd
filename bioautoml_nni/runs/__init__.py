"""What all stages share: the run directory and its lock, the prepared data, networks, their training, and teachers."""
