"""``edge_sr.train`` that knows the tiny networks and balances LSFD's term early."""

from __future__ import annotations

import sys

from tiny_networks import TINY_NETWORKS

from edge_sr.distillation import imitation
from edge_sr.models import MODELS
from edge_sr.train import main

if __name__ == "__main__":
    MODELS.update(TINY_NETWORKS)
    imitation.BALANCE_FROM, imitation.BALANCE_UNTIL = 1, 3
    sys.exit(main())
