"""Why a measurement could not be made."""


class BenchError(Exception):
    """A measurement that could not be made, or whose outcome is wrong; being slow is neither."""
