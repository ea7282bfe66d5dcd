"""The report: a self-contained page for a biologist."""
