"""The programs the toolkit runs, at pinned versions: found, downloaded or built once, and kept outside the checkout."""
