"""The recipient list of a mailing: populating it by the rules D18-D24, statuses, filters, and why each person is on it."""
