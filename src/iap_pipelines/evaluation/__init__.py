"""Clips to scores: who is seen, who is heard, whether they belong together, and what was said."""
