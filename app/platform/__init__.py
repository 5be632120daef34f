"""The ground every slice stands on: settings, database, HTTP conventions, jobs as rows, operations, public tokens.

Knows nothing of mailings. A slice imports from here; nothing here imports a slice.
"""
