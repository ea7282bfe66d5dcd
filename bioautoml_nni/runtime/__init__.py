"""Prediction with an exported model: onnxruntime, numpy, Pillow, simplejpeg, OpenCV and pandas, and no torch.

>>> from bioautoml_nni.runtime import Model
>>> model = Model.load("runs/sample/export")                                               # doctest: +SKIP
>>> model.predict_files(root, ["a.jpg", "b.jpg"], metadata)                                # doctest: +SKIP
"""

from .decisions import Decisions
from .model import Model

__all__ = ["Decisions", "Model"]
