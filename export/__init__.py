"""From a trained network to a bundle: ONNX graphs per precision, verified and measured."""

from __future__ import annotations
