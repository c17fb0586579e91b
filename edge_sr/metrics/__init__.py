"""PSNR, SSIM and the evaluation protocols of the field."""

from __future__ import annotations

from edge_sr.metrics.psnr import psnr
from edge_sr.metrics.ssim import ssim

__all__ = ["psnr", "ssim"]
