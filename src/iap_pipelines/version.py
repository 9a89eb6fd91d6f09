"""The version of the package, which clips and checkpoints name as the software that made them."""

__version__ = "0.1.0"
