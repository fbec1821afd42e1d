"""Small real models, from the packages that carry them."""
