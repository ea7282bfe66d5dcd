import json

import pandas as pd
import pytest
from conftest import COLOURS, in_process

from bioautoml_nni.config.schema import DataConfig
from bioautoml_nni.data.classes import ACCEPTED_COLUMNS, SYNONYM_COLUMNS, with_classes
from bioautoml_nni.data.labels import twin_remarks
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, Manifest
from bioautoml_nni.data.splits import idle_group


def test_labels_that_look_alike_are_named_with_their_counts():
    labels = ["Apis mellifera", "apis  mellifera", "Apis_mellifera ", "Bombus", "ﬁg wasp", "fig wasp"]
    (remark,) = twin_remarks(pd.DataFrame({LABEL: [*labels, "Bombus"]}))
    assert remark.level == "warning"
    for name in ("'Apis mellifera' (1)", "'apis  mellifera' (1)", "'fig wasp' (1)"):
        assert name in remark.text
    assert "Bombus" not in remark.text
    assert not twin_remarks(pd.DataFrame({LABEL: ["007", "7", "7.0", "NA", "nan"]}))


def test_folders_of_parts_that_are_pooled_are_remarked_on(tmp_path, capsys):
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for label, colour in COLOURS.items():
            for n in range(8):
                path = tmp_path / "data" / part / label / f"{n}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(np.array(colour) + rng.normal(0, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(path)
    (tmp_path / "experiment.yml").write_text(
        "name: parts\ndata: {source: imagefolder, root: data, modalities: [image], image_size: 16}\n"
    )
    code, said = in_process(capsys, "check", tmp_path / "experiment.yml", "--output", tmp_path / "audit.json")
    assert code == 1 and "divides the data into train, val" in said and "method: official" in said
    official = "data.split={method: official, train: [train], test: [val]}"
    code, said = in_process(
        capsys, "check", tmp_path / "experiment.yml", "--set", official, "--output", tmp_path / "audit.json"
    )
    assert "divides the data into" not in said


def test_the_audit_is_not_written_over_what_it_reads(tmp_path, capsys, table_root):
    from conftest import write_experiment

    experiment = write_experiment(tmp_path, table_root)
    before = experiment.read_text(), (table_root / "metadata.csv").read_text()
    for output in (experiment, table_root / "metadata.csv"):
        code, said = in_process(capsys, "check", experiment, "--output", output)
        assert code == 2 and "is what the command reads" in said
    assert (experiment.read_text(), (table_root / "metadata.csv").read_text()) == before


SPELLINGS = {
    "ant": ["ant", "Ant", "ANT "], "bee": ["bee", "Apis mellifera", "Apis mellifera Linnaeus, 1758"],
    "cicada": ["cicada", "cicada", "cicada_sp."],
}  # fmt: skip


@pytest.fixture
def spelt(table_root):
    """A table whose labels are written in several ways, with tables of synonyms and taxa beside it."""
    table = pd.read_csv(table_root / "metadata.csv")
    table["label"] = [SPELLINGS[label][row // 3 % 3] for row, label in enumerate(table["label"])]
    table.loc[0, "label"] = "wasp"
    table.loc[1, "label"] = "fly"
    table.to_csv(table_root / "metadata.csv", index=False)
    (table_root / "synonyms.csv").write_text("synonym;accepted\nApis MELLIFERA;honey bee\nhoney bee;bee\n")
    (table_root / "taxa.csv").write_text("name,Ordnung\nant,Hymenoptera\nbee,Hymenoptera\ncicada,Hemiptera\n")
    return table_root


MERGE = (
    "data.labels={merge: [case, spaces, qualifiers], strip_authors: true, synonyms: synonyms.csv, taxonomy: taxa.csv}"
)


def audited(capsys, folder, *options):
    return in_process(capsys, "check", folder / "experiment.yml", "--output", folder / "audit.json", *options)


def test_labels_are_merged_by_one_key_and_counted(spelt, tmp_path, capsys):
    from conftest import write_experiment

    write_experiment(tmp_path, spelt)
    code, said = audited(capsys, tmp_path)
    assert code == 2 and "lines of experiment.yml" in said and " data.rare_labels: drop " in said
    said = " ".join(remark["text"] for remark in json.loads((tmp_path / "audit.json").read_text())["remarks"])
    assert "Write data.rare_labels: drop." in said
    assert "'Apis mellifera' (8) and 'Apis mellifera Linnaeus, 1758' (8)" in said
    assert "Write data.labels: {merge: [case, authors, qualifiers]}." in said
    code, said = audited(capsys, tmp_path, "--set", MERGE, "--set", "data.rare_labels=other")
    record = json.loads((tmp_path / "audit.json").read_text())
    assert set(record["class_counts"]) == {"Ant", "bee", "cicada", "other"}
    assert record["labels_joined"] == {"fly": 1, "wasp": 1} and code == 1
    notes = " ".join(remark["text"] for remark in record["remarks"])
    assert "'Apis mellifera' (8) as 'bee'" in notes and "2 labels are not in it, such as 'fly'" in notes
    assert "one class 'other': " in notes and "written in several ways" not in notes


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("a;b\nx;y\nx;z\n", "'x' means both 'y' and 'z'"),
        ("a;b\nx;y\ny;x\n", "synonym of itself"),
        ("a\nx\n", "needs two columns"),
    ],
)
def test_synonyms_that_contradict_themselves_are_refused(spelt, tmp_path, capsys, lines, words):
    from conftest import write_experiment

    write_experiment(tmp_path, spelt)
    (spelt / "synonyms.csv").write_text(lines)
    code, said = audited(capsys, tmp_path, "--set", "data.labels.synonyms=synonyms.csv")
    assert code == 2 and "synonyms.csv" in said and words in said


def test_a_run_keeps_the_rules_by_which_labels_became_classes(spelt, tmp_path):
    from conftest import tiny_experiment
    from rich.console import Console

    from bioautoml_nni.config.load import apply_overrides, parse_experiment
    from bioautoml_nni.data.naming import restore_naming
    from bioautoml_nni.runs.directory import RunDirectory
    from bioautoml_nni.runs.taxonomy import coarser_taxa
    from bioautoml_nni.stages.prepare import prepare

    changes = [MERGE, "data.rare_labels=drop", "data.hold_out=[ant]"]
    run = RunDirectory.create(tmp_path / "run", parse_experiment(apply_overrides(tiny_experiment(spelt), changes)))
    prepare(run, Console(quiet=True))
    state = json.loads((run / "preprocessing.json").read_text())
    assert state["classes"] == ["bee", "cicada"]
    naming = restore_naming(state["labels"])
    for name in ("BEE", "Apis  mellifera L.", "apis  mellifera", "honey bee", "Apis mellifera"):
        assert naming.name(name) == "bee"
    assert naming.name("ANT") == "Ant" and naming.name("unheard of") == "unheard of"
    labels = pd.read_csv(run / "labels.csv", keep_default_na=False).set_index("label")
    assert labels.loc["Apis mellifera"].tolist() == [8, "bee", ""]
    assert labels.loc["wasp", "no class because"] == "too few specimens"
    assert labels.loc["Ant", "no class because"] == "held out" and labels["specimens"].sum() == 72
    table = pd.read_parquet(run / "manifest.parquet")
    assert set(table[table[LABEL] == "bee"]["order"]) == {"Hymenoptera"}
    assert coarser_taxa(table, ["Ant", "bee", "cicada"], "label")["order"] == [
        "Hymenoptera",
        "Hymenoptera",
        "Hemiptera",
    ]


def test_a_group_that_is_unique_in_each_row_is_said_to_keep_nothing_together():
    table = pd.DataFrame({LABEL: ["ant", "bee"] * 3, "trap": list("abcdef"), "site": list("aabbcc")})
    for group, said in (("trap", 1), ("site", 0), ("other", 0)):
        settings = DataConfig(source="csv", split={"method": "group", "group": group})
        remarks = idle_group(table, settings)
        assert len(remarks) == said
    assert "'trap' has another value in each of 6 rows" in idle_group(
        table, DataConfig(source="csv", split={"method": "group", "group": "trap"})
    )[0].text  # fmt: skip


def test_synonyms_that_are_no_labels_are_said(tmp_path):
    (tmp_path / "synonyms.csv").write_text("a,b\nApis mellifera,Apis mellifica\n")
    manifest = Manifest(pd.DataFrame({ID: ["1"], IMAGE: [""], LABEL: ["Osmia rufa"]}), tmp_path, {}, rank="label")
    settings = DataConfig(source="csv", root=tmp_path, labels={"synonyms": "synonyms.csv"})
    assert with_classes(manifest, settings).notes == [
        "synonyms.csv: none of its 1 synonyms is a label of the data; check which column is the synonym "
        f"({', '.join(SYNONYM_COLUMNS[:3])}) and which the accepted name ({', '.join(ACCEPTED_COLUMNS[:3])})."
    ]
    (tmp_path / "synonyms.csv").write_text("a,b\nOsmia rufa,Osmia bicornis\n")
    assert not [note for note in with_classes(manifest, settings).notes if "none of its" in note]
