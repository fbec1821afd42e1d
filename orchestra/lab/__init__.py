"""Recipes that train the demo's models and bridges from scratch, and measure what came out."""
