"""What a data subject may ask for: all we have about a person, and its erasure (D78, GDPR articles 15, 17 and 20).

Reads and empties the tables of all slices, so it lies above them, beside statistics; its own says only what files are
searched for. Imported by the workers and the list of tables.
"""
