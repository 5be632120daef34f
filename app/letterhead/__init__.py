"""How pages for recipients look and speak: their frame and headers, six languages, the branding (D49).

It lies under all slices that answer readers, so that a click's fallback page is of one hand with the preferences.
"""
