"""The greedy average of the best epochs."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioautoml_nni.training.averaging import greedy_average
from bioautoml_nni.training.history import CheckpointCallback

NUMBERS = st.lists(st.floats(-3, 3), min_size=1, max_size=6)


@given(NUMBERS, st.floats(-3, 3))
@settings(max_examples=60)
def test_an_average_joins_only_where_it_is_no_worse_and_so_never_loses(values, optimum):
    states = [{"weight": torch.tensor([value]), "count": torch.tensor(7)} for value in values]

    def score(state):
        return -abs(float(state["weight"]) - optimum)

    found, members = greedy_average(states, score)
    assert members[0] == 0 and members == sorted(set(members))
    assert float(found["weight"]) == pytest.approx(sum(values[each] for each in members) / len(members), abs=1e-5)
    assert score(found) >= score(states[0]) - 1e-5 and int(found["count"]) == 7
    for left_out in set(range(len(values))) - set(members):
        before = [values[each] for each in members if each < left_out]
        joined = (sum(before) + values[left_out]) / (len(before) + 1)
        assert -abs(joined - optimum) < -abs(sum(before) / len(before) - optimum) + 1e-5


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=12), st.sampled_from(["val_f1", "val_loss"])
)
@settings(max_examples=40)
def test_the_best_single_epochs_are_candidates_also_after_a_resume(values, monitor):
    whole = CheckpointCallback(None, monitor, candidates=3)
    for epoch, value in enumerate(values):
        if epoch == len(values) // 2:
            state = json.loads(json.dumps(whole.state_dict()))
            state["scores"] = {int(epoch): value for epoch, value in state["scores"].items()}
            whole = CheckpointCallback(None, monitor, candidates=3)
            whole.load_state_dict(state)
        whole.observe(value, epoch)
    sign = -1 if monitor == "val_loss" else 1
    expected = sorted(range(len(values)), key=lambda epoch: (sign * values[epoch], epoch), reverse=True)[:3]
    assert whole.best_first == expected
