"""What runs beside the API: the relay from the outbox to arq, and the jobs themselves."""
