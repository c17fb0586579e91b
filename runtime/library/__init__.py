"""Many files, and many machines."""
