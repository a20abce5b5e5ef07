"""What a console saw, kept on disk: an incident can be looked at again, step by step, and tests and pictures are made from it."""
