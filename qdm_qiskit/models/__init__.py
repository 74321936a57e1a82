"""Denoisers of the papers, one file a family, and the classical baselines beside them."""

from .base import CircuitDenoiser, Denoiser
from .cacioppo import Cacioppo, CacioppoConfig
from .catalog import (
    MODEL_DOOR,
    MODELS,
    ModelChoice,
    build_model,
    describe,
    has_model,
    model_class,
    part_origins,
    resolve,
    take_class,
    unknown_model,
)
from .classical_unet import ClassicalUNet, ClassicalUNetConfig
from .eeqdm import EEQDM, QDDM, AmplitudeDenoiserConfig
from .koelle_dense import QDense, QDenseConfig, UnitaryQDense
from .koelle_unet import KoelleUNet, KoelleUNetConfig, QUNet, QUNetConfig
from .latent import CacioppoLatent, LatentConfig
from .line import Line, LineConfig
from .line_amplitudes import LineAmplitudes, LineAmplitudesConfig
from .presets import PRESETS, Preset
from .pretrained import load_model, missing_part, save_model
from .qamp import QampDecember, QampDecemberConfig, QampJanuary, QampJanuaryConfig
from .spec_denoiser import CircuitModelConfig, SpecDenoiser, circuit_options

__all__ = [
    "EEQDM",
    "MODELS",
    "MODEL_DOOR",
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
    "Line",
    "LineAmplitudes",
    "LineAmplitudesConfig",
    "LineConfig",
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
    "circuit_options",
    "describe",
    "has_model",
    "load_model",
    "missing_part",
    "model_class",
    "part_origins",
    "resolve",
    "save_model",
    "take_class",
    "unknown_model",
]
