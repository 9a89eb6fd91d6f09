"""The one error of the provenance room."""


class ProvenanceError(ValueError):
    """A key that cannot sign, or a file that cannot be signed or read; one line that names it and the way out."""
