"""links: the library of tracked links (D36): links with a name and a target that many mailings refer to.

Content refers to one by the merge tag `[[link.library.12]]` as the address of a link, or by its very target. What a
mailing was sent with is frozen as rows of `link` (slice `tracking`), which the library never changes (D41).
"""
