"""persons, companies, interests: the address book kept in step with the CRM."""
