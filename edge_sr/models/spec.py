"""What the rest of the toolkit must know about a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSpec:
    """Facts about one network at one scale.

    ``channels`` is ``y``, luminance alone, or ``rgb``.
    ``receptive_field_radius`` is the largest distance, in LR pixels, at which an input pixel can
    change an output pixel. Width and height of the input must divide by ``size_multiple``. A
    network with global operations is not ``tileable``, has no radius, written as 0, and runs on
    whole frames only.
    """

    name: str
    scale: int
    channels: str
    receptive_field_radius: int
    size_multiple: int = 1
    tileable: bool = True

    @property
    def samples(self) -> int:
        """Channels of a picture: 1 or 3."""
        return 3 if self.channels == "rgb" else 1
