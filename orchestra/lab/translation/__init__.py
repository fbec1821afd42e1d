"""Translation out of one low-resource language: an English anchor that reads it through a multilingual augment."""
