"""Fusions: maps from an image embedding and a metadata embedding to one joint embedding."""
