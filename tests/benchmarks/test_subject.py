from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from side_by_side.chain import Array
from side_by_side.subject import Subject, read_subject


@pytest.fixture
def subject(shipped: Path, noise: Array) -> Subject:
    return read_subject(shipped, noise)


def test_a_subject_knows_its_work(subject: Subject, noise: Array) -> None:
    assert subject.frame_macs == 12464 * noise.size
    assert subject.reference.shape == (2 * noise.shape[0], 2 * noise.shape[1])
    assert subject.manifest.model == "fsrcnn_residual"


def test_results_are_right_up_to_the_precision(subject: Subject) -> None:
    off_by_one = subject.reference + 1  # 48 dB
    assert subject.checked_psnr(off_by_one, "int8") == pytest.approx(48.13, abs=0.01)
    assert subject.checked_psnr(off_by_one, "bf16") > 48
    with pytest.raises(ValueError, match=r"48\.1 dB from the reference, fp32 needs 80"):
        subject.checked_psnr(off_by_one, "fp32")


def test_results_of_another_shape_or_without_numbers_are_wrong(subject: Subject) -> None:
    with pytest.raises(ValueError, match="shape"):
        subject.checked_psnr(subject.reference[1:], "int8")
    with pytest.raises(ValueError, match="nan dB"):
        subject.checked_psnr(np.full_like(subject.reference, np.nan), "int8")
