from __future__ import annotations

import json
from pathlib import Path

import pytest
from side_by_side import facts


def test_facts_of_a_cpu_with_caches_and_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "cache/index0": {"level": "1", "type": "Data", "size": "48K"},
        "cache/index1": {"level": "1", "type": "Instruction", "size": "32K"},
        "cache/index2": {"level": "2", "type": "Unified", "size": "1024K"},
        "cpufreq": {"scaling_governor": "performance", "cpuinfo_max_freq": "3700000"},
    }
    for folder, files in content.items():
        (tmp_path / folder).mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text + "\n")
    monkeypatch.setattr(facts, "_CPU0", tmp_path)
    found = facts.machine_facts()
    assert found["caches"] == {"L1d": "48K", "L1i": "32K", "L2": "1024K"}
    assert (found["governor"], found["max_clock_mhz"]) == ("performance", 3700)
    assert found["cores"] >= 1
    assert len(found["load_before"]) == 3
    json.dumps(found)


def test_facts_that_cannot_be_read_are_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_CPU0", tmp_path)
    found = facts.machine_facts()
    assert (found["governor"], found["max_clock_mhz"]) == ("not readable", 0)
    assert found["caches"] == {}
