"""Training data: folders of clips with known people, their latents, conditions and batches."""
