"""Compare a clip with its upscaled copy, by code that shares nothing with ``runtime``."""
