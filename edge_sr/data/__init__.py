"""Pictures from disk to luminance, low-resolution inputs and training patches."""
