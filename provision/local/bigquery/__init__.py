"""BigQuery on 127.0.0.1: the part of its REST API (v2) that google-cloud-bigquery uses, on DuckDB, with sqlglot for its SQL.

Datasets, tables, load jobs from Parquet in the local bucket, query jobs, streaming inserts. Everything is in one DuckDB file: a job's
rows and its being done are one transaction, so a server that is killed has done a load wholly or not at all, and takes it up again.
"""
