"""A portfolio that is given again says the same as the first time."""

import pandas as pd
from rich.console import Console

from bioautoml_nni.auto.joining import ENSEMBLE
from bioautoml_nni.auto.records import SCORES, Record
from bioautoml_nni.auto.trying import Trying


def test_the_weights_of_an_ensemble_that_is_there_are_shown_again(tmp_path):
    trying = Trying(None, tmp_path, Console(quiet=True), None, None, [])
    trying.candidates.mkdir()
    scores = dict.fromkeys(SCORES, 0.5)
    trying.records = {name: Record(name, "row", "done", validation=scores) for name in "ab"}
    kept = {"members": ["a", "b"], "weights": {"a": 0.25, "b": 0.75}}
    Record(ENSEMBLE, "", "done", validation=scores, settings=kept).save(trying.candidates)
    trying._join()
    table = pd.read_csv(tmp_path / "leaderboard.csv").set_index("candidate")
    assert table.loc[["a", "b"], "weight"].tolist() == [0.25, 0.75]
