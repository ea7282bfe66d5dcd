"""Shards of a prediction put together are the prediction; what is missing or given twice is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import in_process
from filelock import FileLock
from small_models import colour_model

from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime import predict as predict_module
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.utils.errors import DataError
from bioautoml_nni.utils.shard import Shard


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return colour_model(tmp_path / "model")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict_module, "BLOCK", 10)


@pytest.mark.parametrize(("count", "suffix"), [(1, ".csv"), (3, ".parquet"), (20, ".csv")])
def test_shards_in_any_order_give_the_file_of_one_command(
    model: Model, table_root: Path, tmp_path: Path, count: int, suffix: str
) -> None:
    source, whole, merged = table_root / "metadata.csv", tmp_path / f"whole{suffix}", tmp_path / f"merged{suffix}"
    predict(model, Request(source, whole, logits=True, group="event"))
    rows = 0
    for number in reversed(range(1, count + 1)):
        rows += predict(model, Request(source, merged, logits=True, group="event", shard=Shard(number, count))).rows
        assert not merged.exists()
    assert rows == 72
    outcome = predict(model, Request(source, merged, logits=True, group="event", merge=True))
    assert outcome.rows == 72 and merged.read_bytes() == whole.read_bytes()
    groups = [(tmp_path / f"{name}_by_event{suffix}").read_bytes() for name in ("merged", "whole")]
    assert groups[0] == groups[1]
    assert not merged.with_name(merged.name + ".parts").exists()


def test_a_missing_shard_and_one_given_twice_are_said(model: Model, table_root: Path, tmp_path: Path) -> None:
    source, output = table_root / "metadata.csv", tmp_path / "out.csv"
    parts = tmp_path / "out.csv.parts"

    def refused(**options: object) -> str:
        with pytest.raises(DataError) as error:
            predict(model, Request(source, output, **options))  # type: ignore[arg-type]
        return str(error.value)

    assert "holds no shards" in refused(merge=True)
    predict(model, Request(source, output, shard=Shard(2, 4)))
    made = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert refused(shard=Shard(2, 4)) == ("--shard 2/4: is complete; when all are, give --merge in place of --shard.")
    assert "of 4 shards 1/4, 3/4, 4/4 are missing" in refused(merge=True)
    assert "the others" in refused(shard=Shard(1, 3)) and "N/4" in refused(shard=Shard(1, 3))
    assert "answer another question" in refused(shard=Shard(1, 4), missing=("NA",))
    assert "holds shards of a prediction" in refused()
    with FileLock(parts / "shard-3.lock"):
        assert "another process works on it" in refused(shard=Shard(3, 4))
    assert {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")} == made


def test_a_stopped_shard_goes_on(
    model: Model, table_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(table_root / "metadata.csv", tmp_path / "out.csv", shard=Shard(1, 2))
    whole, seen = Model.predict_rows, []

    def stopped(self: Model, *arguments: object) -> object:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Model, "predict_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict(model, request)
    outcome = predict(model, request)
    assert len(seen) == 3 + 2 and outcome.rows == 40


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "a/b", "1/0", "-1/3"])
def test_what_is_no_shard_is_said(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = in_process(capsys, "predict", tmp_path, tmp_path / "t.csv", "-o", tmp_path / "o.csv", "--shard", text)
    assert code == 2 and "NUMBER/COUNT" in said
