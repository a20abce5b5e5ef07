"""`make tour`: the whole incident in a real terminal, and pictures of each step."""
