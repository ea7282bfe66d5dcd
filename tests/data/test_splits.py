import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioautoml_nni.config.schema import DataConfig, SplitConfig
from bioautoml_nni.data.manifest import LABEL, SPLIT
from bioautoml_nni.data.splits import (
    ALPHA,
    PARTS,
    TEST,
    UNKNOWN,
    VALIDATION,
    WEIGHTS,
    _group_subset,
    _stratified_subset,
    assign,
    divide,
    groups_of,
    idle_group,
    official_split,
    unused_split,
)
from bioautoml_nni.utils.errors import DataError
from bioautoml_nni.utils.seeding import derive_seed


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


@settings(max_examples=25)
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


@settings(max_examples=6)
@given(
    st.integers(0, 2**31), st.integers(2, 60), st.integers(1, 40), st.integers(2, 200), st.floats(0.05, 0.6)
)  # fmt: skip
def test_sparse_counts_choose_what_the_dense_matrix_would(seed, groups, classes, rows, fraction):
    rng = np.random.default_rng(seed)
    group = pd.Series(np.append(rng.zipf(1.5, rows) % groups, [0, 1]))
    label = pd.Series([f"c{code}" for code in rng.zipf(1.3, rows + 2) % classes])
    assert (_group_subset(label, group, fraction, seed) == dense_group_subset(label, group, fraction, seed)).all()


@settings(max_examples=25)
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


def data_config(**split) -> DataConfig:
    return DataConfig(source="csv", split=split)


def sentence(table, configuration) -> str:
    with pytest.raises(DataError) as caught:
        assign(table, configuration, seed=0)
    return str(caught.value)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train", "test"], {"method": "official", "train": ["train"], "test": ["test"]}),
        (["Training", "EVAL"], {"method": "official", "train": ["Training"], "test": ["EVAL"]}),
        (["train", "val"], {"method": "official", "train": ["train"], "test": ["val"]}),
        (["train", "testing", "dev"], {
            "method": "official", "train": ["train"], "validation": ["dev"], "test": ["testing"],
        }),
        (["val", "valid", "train", "test"], {
            "method": "official", "train": ["train"], "validation": ["val", "valid"], "test": ["test"],
        }),
        (["validation", "training"], {"method": "official", "train": ["training"], "test": ["validation"]}),
        (["train"], None),
        (["test", "val"], None),
        (["train", "test", "fold1"], None),
        ([], None),
    ],
)  # fmt: skip
def test_official_parts_are_known_by_their_usual_names(names, expected):
    assert official_split(names) == expected


def test_official_parts_that_are_pooled_are_said_with_the_line_that_uses_them():
    table = pd.DataFrame({SPLIT: ["train", "test", None, "train"]})
    (remark,) = unused_split(table, data_config())
    assert (remark.level, remark.topic) == ("warning", "split")
    assert remark.plain == (
        "The source divides the data into test, train, but data.split.method is 'stratified': all are pooled and split "
        "again."
    )
    assert remark.answer.line == "data.split: {method: official, test: [test], train: [train]}" and remark.answer.sure
    (folds,) = unused_split(pd.DataFrame({SPLIT: list("hgfedcba")}), data_config(method="group", group="event"))
    assert folds.answer is None and "into a, b, c, d, e, f, but data.split.method is 'group'" in folds.text
    assert unused_split(table, data_config(method="official", train=["train"], test=["test"])) == []
    assert unused_split(table[[]], data_config()) == []


def test_a_group_of_single_specimens_is_a_note_with_the_line_that_drops_it():
    table = pd.DataFrame({"trap": ["a", "b", None], "site": ["a", "b", "a"], "one": ["a", None, None]})
    (remark,) = idle_group(table, data_config(method="group", group="trap"))
    assert (remark.level, remark.topic) == ("note", "split")
    assert remark.plain == (
        "data.split.group 'trap' has another value in each of 2 rows, so that it keeps nothing together; name the "
        "column of what was collected together, if there is one, or say that there is none."
    )
    assert remark.answer.line == "data.split: {method: stratified}" and not remark.answer.sure
    for group in ("site", "one", "nest"):
        assert idle_group(table, data_config(method="group", group=group)) == []
    column = data_config(method="column", column="site", group="trap", train=["a"], test=["b"])
    assert idle_group(table, column) == [], "a column divides there"


def test_what_is_held_out_is_in_no_part_and_the_split_has_a_seed_of_its_own():
    table = make_table().set_index(np.arange(1000, 1300))
    settings = data_config().model_copy(update={"hold_out": ["c"]})
    part = divide(table, settings, seed=3)
    assert part.index.equals(table.index) and set(part) == {*PARTS, UNKNOWN}
    assert ((part == UNKNOWN) == (table[LABEL] == "c")).all()
    assert part[table[LABEL] != "c"].equals(assign(table[table[LABEL] != "c"], SplitConfig(), 3))
    fixed = divide(table, data_config(seed=5), seed=3)
    assert fixed.equals(assign(table, SplitConfig(), 5)) and fixed.equals(divide(table, data_config(seed=5), seed=4))
    grouped = divide(table, data_config(method="group", group="event"), seed=3)
    assert grouped.equals(assign(table, SplitConfig(method="group", group="event"), 3))
    official = data_config(method="official", train=["1", "2"], validation=["3"], test=["4"])
    assert (divide(table.assign(**{SPLIT: table["fold"]}), official, 3).eq(TEST) == table["fold"].eq(4)).all()


def test_each_part_is_drawn_from_what_the_parts_before_it_left_with_a_seed_of_its_own():
    table, settings = make_table(), SplitConfig()
    expected = pd.Series(WEIGHTS, index=table.index, dtype=object)
    for part, fraction, name in (
        (TEST, settings.test_fraction, "test"),
        (VALIDATION, settings.validation_fraction, "val"),
        (ALPHA, settings.alpha_fraction, "alpha"),
    ):
        left = expected == WEIGHTS
        expected[left[left].index[_stratified_subset(table[LABEL][left], fraction, derive_seed(9, name))]] = part
    assert assign(table, settings, 9).equals(expected)


def test_a_validation_part_that_is_named_is_the_only_one():
    table = make_table()
    settings = SplitConfig(method="column", column="fold", train=[1, 2], validation=[3], test=[4])
    part = assign(table, settings, seed=0)
    assert ((part == VALIDATION) == (table["fold"] == 3)).all() and ((part == TEST) == (table["fold"] == 4)).all()
    assert set(part[table["fold"] < 3]) == {WEIGHTS, ALPHA}


def test_what_cannot_be_divided_is_one_sentence_with_the_way_out():
    table = make_table()
    assert sentence(table, SplitConfig(method="column", column="nest", train=[1], test=[4])) == (
        "data.split.column: the table has no column 'nest'; name one that it has."
    )
    assert sentence(table, SplitConfig(method="group", group="nest")) == (
        "data.split.group: the table has no column 'nest'; name one that it has."
    )
    gaps = table.assign(fold=table["fold"].where(table["fold"] < 3))
    neither = "neither train, validation nor test names; add it to one of them or remove those rows."
    assert sentence(gaps, SplitConfig(method="column", column="fold", train=[1], test=[9])) == (
        f"data.split: column 'fold' holds 2, a missing value, which {neither}"
    )
    folds = table.assign(fold=np.arange(300) % 8)
    assert sentence(folds, SplitConfig(method="column", column="fold", train=[0], test=[1])) == (
        f"data.split: column 'fold' holds 2, 3, 4, 5, 6, which {neither}"
    )
    assert sentence(table.head(1), SplitConfig()) == "data.split: a single specimen cannot be divided; add data."
    assert sentence(table.assign(event=1), SplitConfig(method="group", group="event")) == (
        "data.split: a single group cannot be divided; name another split.group or add data."
    )
    one = pd.DataFrame({LABEL: ["a", "a", "a"], "fold": [1, 1, 1]})
    for train, test, empty in ((1, 2, "test"), (2, 1, "weights_train, alpha_train, validation")):
        assert sentence(one, SplitConfig(method="column", column="fold", train=[train], test=[test])) == (
            f"data.split: no specimen is left for {empty}; change the fractions or columns of data.split."
        )


def test_groups_are_texts_and_rows_without_one_are_alone():
    table = pd.DataFrame({"event": [7.0, None, 7.5, 7.0, None]}, index=[3, 4, 5, 6, 9])
    found = groups_of(table, "event")
    assert found.tolist() == ["7", "<no group 4>", "7.5", "7", "<no group 9>"] and found.index.equals(table.index)
    assert groups_of(table, None) is None


def test_a_single_row_of_every_class_leaves_one_row_for_the_subset():
    labels = pd.Series(list("abcdef"))
    for seed in range(5):
        assert _stratified_subset(labels, 0.2, seed).sum() == 1
