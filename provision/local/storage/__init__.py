"""The local Cloud Storage server: the JSON API as the official client speaks it, on files and SQLite in one folder."""

from provision.local.storage.app import create_app as create_app
