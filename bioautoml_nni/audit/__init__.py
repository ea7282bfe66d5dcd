"""The audit: what is wrong with a data set, and whether a result from it could be trusted. Nothing is trained."""
