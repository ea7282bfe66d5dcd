"""The search in ten lines of Python, on random images of three made-up classes: python examples/nas_experiment.py"""

import torch
from nni.nas.evaluator.pytorch import Classification, DataLoader
from nni.nas.experiment import NasExperiment
from torch.utils.data import TensorDataset

from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS

images, labels = torch.randn(192, 3, 32, 32), torch.arange(192) % 3
images += labels.view(-1, 1, 1, 1)  # the classes differ in brightness
train, validation = (TensorDataset(images[part], labels[part]) for part in (slice(128), slice(128, None)))
space = MultimodalSpace(num_classes=3, modalities=("image",), channels=8, cells=3)
loaders = {"train_dataloaders": DataLoader(train, 16, shuffle=True), "val_dataloaders": DataLoader(validation, 64)}
evaluator = Classification(num_classes=3, max_epochs=3, logger=False, enable_checkpointing=False, **loaders)
experiment = NasExperiment(space, evaluator, AlternatingDARTS(alpha_learning_rate=0.01))
experiment.run()
print(experiment.export_top_models(formatter="dict")[0])
experiment.stop()
