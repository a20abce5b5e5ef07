"""A Tardis stand-in on 127.0.0.1: the vendor's URLs, headers, error codes and file formats, with data that it makes up.

The data is deterministic by (seed, venue, data type, day, symbol). What goes wrong, and where, is written in a scenario;
`truth` says what should become of every file, `server` answers, everything between makes the bytes.
"""
