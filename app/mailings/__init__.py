"""The mailing: setup, content, sources, readiness, states, and the verbs that move it."""
