"""Word problems in a language that the anchor has never seen, and in one of which it has seen some."""
