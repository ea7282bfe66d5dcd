"""The experiment.yml that `bioautoml init` writes."""

TEMPLATE = """\
# An experiment: bioautoml check experiment.yml, then bioautoml run experiment.yml
# Every key can be overridden: bioautoml run experiment.yml --set training.epochs=3
name: my-experiment
seed: 0

data:
  source: csv                  # `bioautoml ls sources` lists all formats
  root: .                      # folder of the table; relative paths start at this file's folder
  table: metadata.csv          # .csv, .tsv or .parquet
  image: image                 # column of image paths
  image_root: .                # folder below root that these paths start from
  label: label                 # column of labels
  image_size: 64               # pixels of the square that the network sees
  modalities: [image, metadata]
  infer_columns: true          # roles of columns not named below; what was inferred stands in the report
  columns: {}                  # for example {length_mm: size, site: group, notes: ignored}
                               # roles: numeric, size, fraction, categorical, date, hour, latitude, longitude,
                               # text, group, ignored
  max_unreadable: 0.05         # a larger share of unreadable images stops the run
  rare_labels: error           # or drop: what to do with a label that has one specimen
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
  epochs: 20
  batch_size: 32

derivation:
  method: shares               # the strongest operations; successive_halving trains several candidates first
  # target: trap               # or pi, station: hard limits of the model; or max_parameters, max_mflops

training:
  epochs: 40
  batch_size: 64
  learning_rate: 0.003
  # docs/training.md lists the rest of the recipe: moving average, mixup, CutMix, drop-path, teachers, patience
# retrain:
#   max_minutes: 30            # the schedule adapts to what fits
"""
