import pandas as pd
from conftest import COLOURS, in_process

from bioautoml_nni.data.labels import twin_remarks
from bioautoml_nni.data.manifest import LABEL


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
