"""The operator's terminal: a Textual app, and the same verbs as a headless command line."""
