"""The local platform server: the APIs around a project that say whether work could begin at all.

Resource Manager and IAM (permissions, policies, roles, accounts), Service Usage (enabled APIs), Secret Manager (what versions there
are, never a value), Artifact Registry (images), Cloud Build. One module a service; each has `add_routes(app, platform)`, and `app`
lists them. What the server does not know it refuses by name (501).
"""

from provision.local.platform.app import create_app
from provision.local.platform.platform import Platform

__all__ = ["Platform", "create_app"]
