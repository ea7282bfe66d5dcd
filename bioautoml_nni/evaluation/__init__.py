"""Evaluation: metrics, figures and the cost of a network."""
