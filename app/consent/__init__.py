"""May we send to this person? Purposes, the append-only ledger, subscription types, blocked addresses."""
