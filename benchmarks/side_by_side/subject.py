"""A bundle and a frame, with the result that every case must come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Manifest, read_manifest
from side_by_side.chain import Chain, read_chain
from side_by_side.reference import psnr_db, reference_frame

# Below this a result is wrong, not imprecise.
LEAST_PSNR_DB = {"fp32": 80.0, "bf16": 40.0, "int8": 25.0}


@dataclass(frozen=True)
class Subject:
    """What sections of different thread counts share."""

    bundle: Path
    manifest: Manifest
    chain: Chain
    frame: NDArray[np.uint8]
    reference: NDArray[np.float32]

    @property
    def frame_macs(self) -> int:
        """Multiply-accumulates for the whole frame."""
        return self.chain.macs * self.frame.size

    def checked_psnr(self, result: NDArray[Any], precision: str) -> float:
        """Agreement of a result with the reference in dB; ValueError if it is wrong."""
        if result.shape != self.reference.shape:
            raise ValueError(
                f"wrong result: its shape is {result.shape}, not {self.reference.shape}"
            )
        psnr = psnr_db(result, self.reference)
        if not psnr >= LEAST_PSNR_DB[precision]:
            raise ValueError(
                f"wrong result: {psnr:.1f} dB from the reference, "
                f"{precision} needs {LEAST_PSNR_DB[precision]:.0f}"
            )
        return psnr


def read_subject(bundle: Path, frame: NDArray[np.uint8]) -> Subject:
    """Read a bundle and compute its reference; OSError or ModelFormatError if it is unfit."""
    chain = read_chain(bundle)
    return Subject(bundle, read_manifest(bundle), chain, frame, reference_frame(chain, frame))
