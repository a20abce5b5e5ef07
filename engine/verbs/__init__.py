"""The verbs of the `engine` command, one module each: the options on top, what the verb does below.

A module here imports neither pyarrow nor a cloud client at its top: `engine --help` loads them all.
"""
