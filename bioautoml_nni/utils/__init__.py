"""Small things that any package may use: errors, atomic files, seeds, progress, memory, silence."""
