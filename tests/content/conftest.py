"""Settings of property tests: no deadline, since a busy machine is not a fault of the code."""

from hypothesis import settings

settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")
