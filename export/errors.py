"""What can go wrong in a build that is nobody's typing mistake."""

from __future__ import annotations


class ParityError(RuntimeError):
    """A gate was not met; the message holds the measured and the allowed value."""
