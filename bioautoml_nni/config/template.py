"""The experiment.yml that `bioautoml init` writes."""

from __future__ import annotations

import json

from .sizing import sized

USUAL = 3000
"""Rows that lengths are made for where no table is given."""
TRAINED = 0.8 * 0.85
"""Share of the rows that the split below trains with."""


def experiment_template(root: str = ".", table: str = "metadata.csv", rows: int | None = None) -> str:
    """Return a commented experiment file.

    Args:
        root: folder of the table, relative to the experiment's or absolute.
        table: name of the table in it.
        rows: how many it has; lengths and batches are chosen by it.

    Raises:
        ValueError: for a table without rows.
    """
    lengths = sized(round(TRAINED * (USUAL if rows is None else rows)))
    values = {key.replace(".", "_"): value for key, value in lengths.items()}
    reason = f"for {rows:,} rows" if rows else "for some thousand rows; `bioautoml init --table` counts yours"
    return _TEMPLATE.format(root=_quoted(root), table=_quoted(table), reason=reason, **values)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_TEMPLATE = """\
# An experiment: bioautoml check experiment.yml, then bioautoml run experiment.yml
# Every key can be overridden: bioautoml run experiment.yml --set training.epochs=3
name: my-experiment
seed: 0

data:
  source: csv                  # `bioautoml ls sources` lists all formats
  root: {root}                    # folder of the table; relative paths start at this file's folder
  table: {table}        # .csv, .tsv or .parquet
  image: image                 # column of image paths
  image_root: .                # folder below root that these paths start from
  label: label                 # column of labels
  image_size: 64               # pixels of the square that the network sees
  modalities: [image, metadata]
  infer_columns: true          # roles of columns not named below; what was inferred stands in the report
  columns: {{}}                  # for example {{length_mm: size, site: group, notes: ignored}}
                               # roles: numeric, size, fraction, categorical, date, hour, latitude, longitude,
                               # text, group, ignored
  max_unreadable: 0.05         # a larger share of unreadable images stops the run
  rare_labels: error           # or drop, or other (one class of them all): labels that have one specimen
  # labels: {{merge: [case, spaces]}}  # labels that are one, written in several ways (docs/how-to/your-data.md)
  split:
    method: stratified         # or group, column, official
    # group: event             # specimens of one group stay on one side: set it if there are several per trap or animal
    test_fraction: 0.2
    validation_fraction: 0.15

space:
  name: multimodal             # `bioautoml ls search_spaces`
  channels: 16
  cells: 6

strategy:
  name: alternating_darts      # `bioautoml ls strategies`
  alpha_learning_rate: 0.01
  warmup_epochs: 3

loss:
  name: logit_adjusted         # makes rare classes count; cross_entropy is the plain form
  tau: 1.0

search:
  epochs: {search_epochs:<20}   # {reason}
  batch_size: {search_batch_size}

derivation:
  method: strongest            # the strongest operations; successive_halving trains several candidates first
  # target: trap               # or pi, station: hard limits of the model; or max_parameters, max_mflops

training:
  epochs: {training_epochs:<20}   # {reason}
  batch_size: {training_batch_size}
  learning_rate: 0.003
  ema_decay: {training_ema_decay}
  # docs/training.md lists the rest of the recipe: mixup, CutMix, drop-path, teachers, patience
# retrain:
#   max_minutes: 30            # the schedule adapts to what fits
"""
