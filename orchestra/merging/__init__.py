"""Merges on paper: mergekit's recipes, read, checked and counted. No torch, no mergekit, no network."""
