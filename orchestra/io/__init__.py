"""The outside world: folders, checkpoints, tokenizers, bundles. Knows nothing of bridges as tensors."""
