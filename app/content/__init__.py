"""Content: what a mailing says, and how it becomes the bytes one recipient gets.

The slice owns templates, merge tags, compiling a message, attachments and the checks of HTML (D10-D16, D26).

A message is compiled once per mailing and joined per recipient. The way through the pure modules:

=============  =====================================================================
`merge_tags`   reads `[[customer.firstname|default("du")]]`; knows every tag
`tag_columns`  where each recipient's value is kept, for messages and for links
`markup`       finds tags, attributes, comments in HTML by position, changes nothing
`pieces`       the parts a body is made of: text, tokens, merge values
`links`        what a link's target is, analytics tags, filling a target at click time
`filling`      the mailing's own values and addresses, which are known when it is compiled
`html_part`    HTML to pieces: links rewritten, each value escaped for where it lands
`text_part`    the written or derived text part to pieces
`encoding`     pieces to quoted-printable with holes
`headers`      header lines: RFC 2047, folding, mailboxes
`mime`         the structure of a message: alternatives, inline images, attachments
`compiler`     `compile_message`: all of it put together
`compiled`     `CompiledMessage`: stored with the dispatch, rendered per recipient
`checks`       what is wrong, or could be better, with a message
=============  =====================================================================
"""
