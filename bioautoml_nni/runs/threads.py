"""How many CPU threads a run computes with."""

from __future__ import annotations


def use_threads(count: int | None) -> None:
    """Let this process compute with so many threads: torch, and the BLAS and OpenMP of NumPy, SciPy and scikit-learn.

    Sums are rounded in an order that depends on the number of threads, in a linear probe as in a network. And threads of
    OpenBLAS wait for each other by spinning: where another process has the cores, two of them take many times as long as one.

    Args:
        count: `threads` of the experiment; None leaves each library its own number.
    """
    if count is None:
        return
    # Libraries can be told once they are loaded.
    import scipy.linalg.blas
    import sklearn.utils._openmp_helpers
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    threadpool_limits(limits=count)
