"""What records say: summaries, differences and their significance, claims of the theory, limits. Imports no torch."""
