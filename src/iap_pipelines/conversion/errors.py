"""The error of this room."""


class ConversionError(ValueError):
    """An official file that cannot be converted; the message names the file and the reason."""
