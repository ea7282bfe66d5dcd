"""What is behind an error."""

import errno

import pytest

from bioautoml_nni.plugin_faults import plugin_fault
from bioautoml_nni.utils.errors import FULL_DISK, causes, outside_cause, place_cause


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_a_chain_that_leads_back_to_its_beginning_is_read_once(link):
    first, second = RuntimeError("backward"), ValueError("forward")
    setattr(first, link, second)
    setattr(second, link, first)
    assert list(causes(first)) == [first, second]
    assert outside_cause(first) is place_cause(first) is plugin_fault(first) is None
    full = OSError(errno.ENOSPC, "No space left on device", "last.ckpt")
    setattr(second, link, full)
    setattr(full, link, first)
    assert outside_cause(first) == FULL_DISK and (place_cause(first) or "").startswith("last.ckpt: No space left")
    assert list(causes(None)) == []
