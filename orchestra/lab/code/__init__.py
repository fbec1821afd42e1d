"""Code: an English-reading anchor, and a small model of Python that was trained on its standard library."""
