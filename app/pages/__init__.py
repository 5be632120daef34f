"""What recipients see in a browser: unsubscribing, preferences, view in browser."""
