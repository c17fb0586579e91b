"""Frames without a container around them: pipes, numbered pictures, live sources."""
