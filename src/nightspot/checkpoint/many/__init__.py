"""One training of many processes: what its ranks settle, who writes what, and how it comes together again."""
