"""A contest: a composition, what it is made of and what could replace it, at the same records to learn from."""
