"""Everything that touches Google Cloud, and `provision.local`, a whole cloud on one machine."""
