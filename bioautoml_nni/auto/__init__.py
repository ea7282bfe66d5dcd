"""A portfolio of candidates within minutes and a device's budget, the choice among them, and the same from Python."""
