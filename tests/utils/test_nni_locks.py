"""Locks that killed processes left on NNI's list of experiments."""

import os
import time

import pytest

from bioautoml_nni.utils.nni_locks import remove_left_over_locks


@pytest.mark.parametrize(("seconds", "goes"), [(-3600, True), (3600, True), (10 * 365 * 86400, True), (0, False)])
def test_a_lock_that_no_process_can_hold_any_more_goes(tmp_path, seconds, goes):
    lock, other = tmp_path / ".experiment.lock.1", tmp_path / ".experiment"
    for path in (lock, other):
        path.touch()
        os.utime(path, (time.time() + seconds, time.time() + seconds))
    assert remove_left_over_locks(tmp_path) == goes
    assert lock.exists() != goes
    assert other.exists(), "the list itself stays"


def test_a_home_without_experiments_has_no_locks(tmp_path):
    assert remove_left_over_locks(tmp_path / "missing") == 0
