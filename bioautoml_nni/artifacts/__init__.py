"""The files of JSON that a run leaves, one type each: what stands in them, under which version."""
