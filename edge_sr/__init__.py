"""Training side of edge-sr: networks, distillation, data, metrics and the shipped students."""

from __future__ import annotations
