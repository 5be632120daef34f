"""Public pages for recipients: unsubscribe and preferences (D46-D49).

GET only shows, POST acts. The pages work without JavaScript and cookies, in six languages, and lean on nothing outside
themselves.
"""
