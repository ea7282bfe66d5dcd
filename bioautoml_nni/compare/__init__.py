"""Comparison of the experiment with baselines and other searches, under one protocol."""
