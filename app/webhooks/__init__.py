"""What happened, for other systems: the event feed they pull, and the webhooks it is pushed to (D77).

Owns `event` and its numbering, `webhook` and `webhook_delivery`. Events are written by triggers, in the transaction of
what they tell of (decision 7), so no other slice calls this one; above it, only routes and workers do.
"""
