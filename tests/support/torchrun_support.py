"""Training in two processes, as torchrun starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_in_two_processes(program: Sequence[str]) -> None:
    """Run ``-m module ...`` or a script with its arguments; CalledProcessError if it fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    subprocess.run(
        [*command, f"--master-port={port}", *program],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
