"""Benchmarks as files, how they are made, and the clips that a model makes for them."""
