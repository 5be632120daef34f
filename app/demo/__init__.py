"""The demo: a whole mailing on real input, as a newcomer would do it, checked and summed up.

A client like any other: it knows the HTTP API, the mail that was caught, and the SMTP server for bounces.

`run`         starts the service, tells the story, writes the summary
`scenario`    import, selection, newsletter, list, test, send, over the API
`caught_mail` what came out: messages, their links, pixel and unsubscribe address
`readers`     what recipients do with it: people, machines, mail servers
`checks`      whether every number adds up
`api`, `screen`, `errors`  calling the API, showing things, what can go wrong
"""
