"""Schedules: which group of parameters a batch updates, and with which gradient."""
