"""Everything between "send" and the recipient's server.

This slice owns the dispatch (the frozen plan of a send), the transports (email, sms, document), pacing, retries and the
sending pipeline: claimed chunks, the journal of starts and replies, and the SMTP dialogue that decides, once and in one
place, what became of each message. It knows recipients by dispatch and `seq`; it does not decide who is one.
"""
