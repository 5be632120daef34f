"""persons, companies: the address book kept in step with the CRM."""
