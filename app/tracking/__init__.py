"""What happens between the inbox and us: tracked links, clicks and opens, each judged human or machine.

`endpoint`    answers clicks and opens, in front of the API
`link_table`  every link in memory
`recorder`    stores events in groups, and keeps them while the database is away
`verdicts`    the rules of D45
"""
