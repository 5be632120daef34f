"""domains: the domains mail is sent from, what DNS says of them (D6), and the keys it is signed with (DKIM)."""
