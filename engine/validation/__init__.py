"""Validation: committed objects compared with the manifests that vouch for them, and what was found kept for coverage.

`comparing` does the work, `inspection` judges one object, `verification` is the document that coverage and the planner read.
"""
