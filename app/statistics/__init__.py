"""How a mailing did, read from tallies; reads all slices, imported by none."""
