"""Relaxations: from architecture parameters to the weights with which candidates are mixed."""
