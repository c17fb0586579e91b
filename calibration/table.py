"""The result of a calibration: ranges, and what they came from."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class CalibrationTable:
    """Symmetric range of each tensor, by name, with the digests of model and frames (sha256)."""

    observer: str
    ranges: dict[str, float]
    model_digest: str
    frames_digest: str

    def to_json(self) -> str:
        """Text of ``calibration.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @staticmethod
    def from_json(text: str) -> CalibrationTable:
        """Inverse of :meth:`to_json`; ValueError if the text is not such a table."""
        try:
            values: Any = json.loads(text)
            table = CalibrationTable(**values)
            ranges = {str(k): float(v) for k, v in table.ranges.items()}
        except (json.JSONDecodeError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a calibration table: {error}") from error
        for name, amax in ranges.items():
            if not (math.isfinite(amax) and amax > 0):
                raise ValueError(f"range {amax} of tensor {name} is not a positive number")
        return table
