"""Encoders: pretrained image networks, one module for each family; see `bioautoml_nni.features.encoder`.

The modules without underscore import neither torch nor timm before a network is wanted.
"""
