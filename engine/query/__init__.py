"""SQL over the lake: views of its files, pruned by day, venue and symbol out of the paths before anything of a file is read.

DuckDB does the work; it reads ranges of objects through the one storage client (`lake_filesystem`), and only of the files that can
matter (`constraints` reads the query, `lake_files` lists). Separate from everything that writes: nothing here changes a bucket.
"""
