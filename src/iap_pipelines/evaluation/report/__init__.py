"""Results to files: JSON, Markdown, model-card rows, a page."""
