"""A whole cloud on 127.0.0.1: storage, Compute, Cloud Logging and a Tardis stand-in, spoken to by the official clients."""
