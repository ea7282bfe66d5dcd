"""Whole runs as trials of an NNI experiment, so that tuners choose settings and the web UI shows them."""
