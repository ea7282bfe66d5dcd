"""The command line with a pause after each batch, so that a test can kill it in the middle of an epoch."""

import os
import time

from bioautoml_nni.cli.main import main
from bioautoml_nni.training.progress import ProgressCallback

_original = ProgressCallback.on_train_batch_end


def _slow(self, *args, **kwargs):
    time.sleep(float(os.environ["BIOAUTOML_TEST_SLOW_BATCH"]))
    return _original(self, *args, **kwargs)


ProgressCallback.on_train_batch_end = _slow

if __name__ == "__main__":
    main()
