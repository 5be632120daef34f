"""What links do besides leading somewhere (D38, D39): actions, their runs, and what they make for the CRM.

`kinds`       the seven kinds and their settings, for any trigger: links have them now, forms may have them later
`checking`    whether what settings refer to is there
`performing`  the effect of each kind on whom it is about
`runs`        once per action and recipient: held, done, dropped, tried again
`scripts`     signed webhooks that are called with what happened
`collecting`  follow-ups and requests, which the CRM takes over

No kind changes consent or subscriptions: a click is a GET (D39).
"""
