"""Ctrl-C during a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptible(interrupted: Callable[[], bool]) -> Iterator[None]:
    """Let Ctrl-C end a training as `KeyboardInterrupt`: Lightning exits the process, and ignores the key from then on.

    Args:
        interrupted: whether the training was stopped by the key.

    Raises:
        KeyboardInterrupt: if it was.
    """
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as ended:
        if not (interrupted() and isinstance(ended.__context__, KeyboardInterrupt)):  # Lightning's, and no plug-in's
            raise
        raise KeyboardInterrupt from None
    finally:
        if main and handler is not None:
            signal.signal(signal.SIGINT, handler)
    if interrupted():
        raise KeyboardInterrupt
