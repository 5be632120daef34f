"""Budstikke: the mailing service behind a CRM's marketing screens."""
