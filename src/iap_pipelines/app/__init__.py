"""A page to try it: who, what they say, how strongly each guidance acts, and the code that does the same."""
