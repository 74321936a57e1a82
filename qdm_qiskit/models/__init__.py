"""Denoisers of the papers, one file a family, and the classical baselines beside them."""

from .base import CircuitDenoiser, Denoiser
from .catalog import MODELS, ModelChoice, build_model, describe, resolve
from .classical_unet import ClassicalUNet, ClassicalUNetConfig
from .eeqdm import EEQDM, QDDM, AmplitudeDenoiserConfig
from .presets import PRESETS, Preset
from .pretrained import load_model, save_model

__all__ = [
    "EEQDM",
    "MODELS",
    "PRESETS",
    "QDDM",
    "AmplitudeDenoiserConfig",
    "CircuitDenoiser",
    "ClassicalUNet",
    "ClassicalUNetConfig",
    "Denoiser",
    "ModelChoice",
    "Preset",
    "build_model",
    "describe",
    "load_model",
    "resolve",
    "save_model",
]
