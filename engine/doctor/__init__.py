"""The doctor: what is wrong with settings, source, key, buckets, disk, memory or clock, before it costs a night.

`checkup` is the table of checks and runs them; `machine` and `cloud` are the checks; `finding` is what each of them says.
"""
