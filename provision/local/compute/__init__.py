"""A Compute Engine server whose virtual machines are processes on this machine, each with a metadata server of its own.

The official `google-cloud-compute` client speaks to it over REST: `client_options={"api_endpoint": "http://127.0.0.1:PORT"}`
and `AnonymousCredentials`. What is documented and used here behaves as documented, with Google's error texts; everything
else is answered 501 and named.
"""

from provision.local.compute.app import create_app
from provision.local.compute.reaping import reap
from provision.local.compute.settings import ComputeSettings

__all__ = ["ComputeSettings", "create_app", "reap"]
