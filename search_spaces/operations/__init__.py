"""Candidate operations. Each maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
