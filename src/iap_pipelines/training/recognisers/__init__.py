"""Training of the models that score clips of the drawn world, apart from the generator."""
