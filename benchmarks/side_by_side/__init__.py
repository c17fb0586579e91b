"""Times one luminance frame on a CPU in several runtimes, side by side."""
