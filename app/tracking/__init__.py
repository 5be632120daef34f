"""Between inbox and us: tracked links, clicks, opens, and whether a human or a machine did it."""
