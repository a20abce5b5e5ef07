"""Conversion of one source file to Parquet: `convert` runs it, `outcome` is what it says.

Bytes go through `gzip_members`, `csv_blocks`, `row_groups` and `parquet_file`, in that order.
"""
