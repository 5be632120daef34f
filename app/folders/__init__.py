"""folders: trees that mailings, templates, links, forms, selections and projects are kept in."""
