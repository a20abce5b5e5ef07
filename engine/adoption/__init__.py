"""Adoption: a lake that exists already becomes ours by manifests, without a byte being written to it.

`existing_lake` lists and tells names apart, `old_names` says which file a name stands for, `candidates` judges one object by its
footer, `adopting` puts it together and writes the manifests.
"""
