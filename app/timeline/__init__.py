"""What happened with a person, newest first (D68); reads all slices, imported by none."""
