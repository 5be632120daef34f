"""selections, projects, imports: sources -> people."""
