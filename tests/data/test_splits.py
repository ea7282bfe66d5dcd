import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioautoml_nni.config.schema import SplitConfig
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.data.splits import PARTS, TEST, VALIDATION, _group_subset, _stratified_subset, assign
from bioautoml_nni.utils.errors import DataError


def make_table(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            LABEL: rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
            "event": rng.integers(0, 25, rows),
            "fold": rng.integers(1, 5, rows),
        }
    )


def test_parts_are_disjoint_complete_and_stratified():
    table = make_table(1000)
    part = assign(table, SplitConfig(), seed=0)
    assert set(part) == set(PARTS)
    assert (part == TEST).mean() == pytest.approx(0.2, abs=0.02)
    for name in PARTS:
        assert (table[LABEL][part == name] == "c").mean() == pytest.approx(0.1, abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_no_group_is_ever_divided(seed):
    table = make_table()
    part = assign(table, SplitConfig(method="group", group="event"), seed=seed)
    assert (part.groupby(table["event"]).nunique() == 1).all()


def test_groups_of_uneven_size_still_give_the_wanted_share():
    rng = np.random.default_rng(0)
    sizes = rng.geometric(0.02, 23)
    table = pd.DataFrame({"event": np.repeat(np.arange(23), sizes)})
    table[LABEL] = rng.choice(["a", "b"], len(table), p=[0.7, 0.3])
    part = assign(table, SplitConfig(method="group", group="event"), seed=0)
    assert (part == TEST).mean() == pytest.approx(0.2, abs=0.06)
    assert (table[LABEL][part == TEST] == "a").mean() == pytest.approx((table[LABEL] == "a").mean(), abs=0.06)


def test_a_class_of_one_group_stays_in_training():
    table = make_table()
    table[LABEL] = np.where(table["event"] == 3, "rare", table[LABEL])
    for seed in range(5):
        part = assign(table, SplitConfig(method="group", group="event"), seed)
        assert set(part[table[LABEL] == "rare"]) <= {"weights_train", "alpha_train"}


def test_the_same_seed_gives_the_same_split_and_another_does_not():
    table = make_table()
    first, again, other = (assign(table, SplitConfig(), seed) for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


def test_columns_decide_and_validation_is_split_off_by_group():
    table = make_table()
    table["fold"] = table["event"] % 4 + 1
    configuration = SplitConfig(method="column", column="fold", group="event", train=[1, 2, 3], test=[4])
    part = assign(table, configuration, seed=0)
    assert ((part == TEST) == (table["fold"] == 4)).all()
    assert (part.groupby(table["event"]).nunique() == 1).all()
    assert (part == VALIDATION).any()
    assert (part[part != TEST] == VALIDATION).mean() == pytest.approx(configuration.validation_fraction, abs=0.06)


def test_unassigned_values_are_named():
    configuration = SplitConfig(method="column", column="fold", train=[1, 2], test=[4])
    with pytest.raises(DataError, match="holds 3, which neither"):
        assign(make_table(), configuration, seed=0)


def test_missing_columns_are_named():
    with pytest.raises(DataError, match="no column 'nest'"):
        assign(make_table(), SplitConfig(method="group", group="nest"), seed=0)


def test_one_group_cannot_be_divided():
    with pytest.raises(DataError, match="a single group cannot be divided"):
        assign(make_table().assign(event=1), SplitConfig(method="group", group="event"), seed=0)


def test_rows_without_a_group_are_groups_of_their_own():
    table = make_table()
    table["event"] = table["event"].astype(float).where(np.arange(len(table)) % 3 > 0)
    part = assign(table, SplitConfig(method="group", group="event"), seed=0)
    alone = table["event"].isna()
    assert set(part[alone]) == set(PARTS)
    assert (part[~alone].groupby(table["event"][~alone]).nunique() == 1).all()


def dense_group_subset(labels, groups, fraction, seed):
    """The same choice from a matrix of groups times classes, as the reference."""
    group_codes, names = pd.factorize(groups, sort=True)
    class_codes, classes = pd.factorize(labels, sort=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (group_codes, class_codes), 1)
    totals = counts.sum(axis=0)
    rng = np.random.default_rng(seed)
    best, best_distance = np.zeros(len(names), dtype=bool), np.inf
    for _ in range(int(np.clip(2_000_000 // len(names), 20, 2000))):
        order = rng.permutation(len(names))
        reached = counts[order].sum(axis=1).cumsum()
        take = int(np.clip(np.abs(reached - fraction * len(labels)).argmin() + 1, 1, len(names) - 1))
        held = counts[order[:take]].sum(axis=0)
        lost = 10 * (held == totals).sum() + (held == 0).sum()
        distance = float((((held - fraction * totals) ** 2) / (fraction * totals)).sum() + lost)
        if distance < best_distance:
            best_distance, best = distance, np.isin(np.arange(len(names)), order[:take])
    return best[group_codes]


@settings(max_examples=6, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 40), st.integers(2, 200), st.floats(0.05, 0.6)
)  # fmt: skip
def test_sparse_counts_choose_what_the_dense_matrix_would(seed, groups, classes, rows, fraction):
    rng = np.random.default_rng(seed)
    group = pd.Series(np.append(rng.zipf(1.5, rows) % groups, [0, 1]))
    label = pd.Series([f"c{code}" for code in rng.zipf(1.3, rows + 2) % classes])
    assert (_group_subset(label, group, fraction, seed) == dense_group_subset(label, group, fraction, seed)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(2, 200))
def test_rows_of_classes_are_drawn_as_class_by_class(seed, classes, rows):
    labels = pd.Series(np.random.default_rng(seed).integers(classes, size=rows).astype(str))
    rng, codes = np.random.default_rng(seed), pd.factorize(labels, sort=True)[0]
    expected = np.zeros(rows, dtype=bool)
    for code in range(codes.max() + 1):
        members = rng.permutation(np.flatnonzero(codes == code))
        expected[members[: min(int(0.3 * len(members) + rng.random()), len(members) - 1)]] = True
    if not expected.any():
        expected[rng.integers(rows)] = True
    assert (_stratified_subset(labels, 0.3, seed) == expected).all()
