"""Regularisers: what is added to the loss of architecture steps, or changed in the supernet, against known failures."""
