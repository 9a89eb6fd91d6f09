"""Models that look and listen: who is seen, who is heard, in which words. Curation and evaluation use the same."""
