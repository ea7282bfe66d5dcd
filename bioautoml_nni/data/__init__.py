"""Data: from a source's table to batches of tensors."""
