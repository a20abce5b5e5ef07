"""The verbs of the `tickdeck` command, one module a noun. Each is the headless twin of something on a screen."""
