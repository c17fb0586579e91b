"""From frames to activation ranges: what INT8 needs to know about a network's tensors."""
