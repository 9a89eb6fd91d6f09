"""Weights, people and data to repositories with cards, and back."""
