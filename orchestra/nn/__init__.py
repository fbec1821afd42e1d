"""Bridges as tensors: nothing here knows a file, a model or a tokenizer."""
