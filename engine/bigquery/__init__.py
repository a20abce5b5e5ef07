"""BigQuery as a further layer of the lake: what a table is to hold of a day, load jobs that put it there, and the record of that."""
