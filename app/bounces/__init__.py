"""Undelivered messages: taking in reports at return paths, reading them, and what follows for address and recipient."""
