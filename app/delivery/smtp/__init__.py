"""The SMTP transport: accounts, opening connections, and the dialogue that says what became of each message."""
