"""Training: clips and references in, weights out."""
