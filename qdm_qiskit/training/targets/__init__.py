"""Targets of training: what answers a model's circuits, with gradients."""
