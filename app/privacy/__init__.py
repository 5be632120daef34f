"""What a data subject may ask for: all we have about a person, and its erasure (D78, GDPR articles 15, 17 and 20).

Owns no table; reads and empties those of all slices, so it lies above them, beside statistics. Imported by none.
"""
