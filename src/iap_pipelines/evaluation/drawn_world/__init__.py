"""Scores of clips of the drawn world, where everything that should be seen and heard is known."""
