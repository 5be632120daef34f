"""The recipient list of a mailing: sources, populating it (D18-D24), statuses, filters, why each person is on it."""
