"""How many CPU threads a run computes with."""

from __future__ import annotations

from importlib import import_module

LIBRARIES = ("scipy.linalg.blas", "sklearn.utils._openmp_helpers")
"""What loads SciPy's BLAS and scikit-learn's OpenMP: libraries can be told once they are loaded."""


def use_threads(count: int | None) -> None:
    """Let this process compute with so many threads: torch, and the BLAS and OpenMP of NumPy, SciPy and scikit-learn.

    Sums are rounded in an order that depends on the number of threads, in a linear probe as in a network. And threads
    of OpenBLAS wait for each other by spinning: where other work has the cores, two take many times as long as one.

    Args:
        count: `threads` of the experiment; None leaves each library its own number.
    """
    if count is None:
        return
    import torch
    from threadpoolctl import threadpool_limits

    for name in LIBRARIES:
        import_module(name)
    torch.set_num_threads(count)
    threadpool_limits(limits=count)
