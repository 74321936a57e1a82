"""De Falco's U-Net and its hybrids: circuits at the vertex (QVU-Net) and as filters (QuanvU-Net)."""

from .unet import HybridUNet, HybridUNetConfig

__all__ = ["HybridUNet", "HybridUNetConfig"]
