"""`make tour`: pictures of every screen on a real demo run, at both sizes, and the same walk in a real terminal."""
