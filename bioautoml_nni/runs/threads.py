"""How many CPU threads a run computes with."""

from __future__ import annotations

from importlib import import_module


def use_threads(count: int | None) -> None:
    """Let this process compute with so many threads: torch, and the BLAS and OpenMP of all other libraries.

    Sums are rounded in an order that depends on the number of threads, in a linear probe as in a network. And threads
    of OpenBLAS wait for each other by spinning: where other work has the cores, two take many times as long as one.

    Args:
        count: `threads` of the experiment; None leaves each library its own number.
    """
    if count is None:
        return
    import torch
    from threadpoolctl import threadpool_limits

    for name in ("cv2", "scipy.linalg", "sklearn"):  # their BLAS and OpenMP can be told once they are loaded
        import_module(name)
    torch.set_num_threads(count)
    threadpool_limits(limits=count)
