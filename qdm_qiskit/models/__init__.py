"""Denoisers of the papers, one file a family, and the classical baselines beside them."""

from .base import CircuitDenoiser, Denoiser
from .cacioppo import Cacioppo, CacioppoConfig
from .catalog import (
    MODELS,
    ModelChoice,
    build_model,
    describe,
    model_classes,
    resolve,
    unknown_model,
)
from .classical_unet import ClassicalUNet, ClassicalUNetConfig
from .eeqdm import EEQDM, QDDM, AmplitudeDenoiserConfig
from .koelle_dense import QDense, QDenseConfig, UnitaryQDense
from .koelle_unet import KoelleUNet, KoelleUNetConfig, QUNet, QUNetConfig
from .latent import CacioppoLatent, LatentConfig
from .presets import PRESETS, Preset
from .pretrained import load_model, save_model
from .qamp import QampDecember, QampDecemberConfig, QampJanuary, QampJanuaryConfig
from .spec_denoiser import CircuitModelConfig, SpecDenoiser

__all__ = [
    "EEQDM",
    "MODELS",
    "PRESETS",
    "QDDM",
    "AmplitudeDenoiserConfig",
    "Cacioppo",
    "CacioppoConfig",
    "CacioppoLatent",
    "CircuitDenoiser",
    "CircuitModelConfig",
    "ClassicalUNet",
    "ClassicalUNetConfig",
    "Denoiser",
    "KoelleUNet",
    "KoelleUNetConfig",
    "LatentConfig",
    "ModelChoice",
    "Preset",
    "QDense",
    "QDenseConfig",
    "QUNet",
    "QUNetConfig",
    "QampDecember",
    "QampDecemberConfig",
    "QampJanuary",
    "QampJanuaryConfig",
    "SpecDenoiser",
    "UnitaryQDense",
    "build_model",
    "describe",
    "load_model",
    "model_classes",
    "resolve",
    "save_model",
    "unknown_model",
]
