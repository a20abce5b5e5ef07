"""The headless engine: plans, downloads, converts, commits and validates tick data.

Runs in VMs, on a laptop and under a scheduler. It imports no user interface and, at module level, no cloud SDK.
"""

__version__ = "0.1.0"
