"""The jobs, one module per area; each is repeatable and carries ids only (architecture, idea 4)."""
