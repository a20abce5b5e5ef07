"""Raw exchange messages by whole UTC hours: `raw_source` fetches, `raw_feed` is the object, `replaying` the order of work."""
