"""The stages from a table to a report, each a function from a run directory to new files in it."""
