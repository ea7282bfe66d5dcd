"""From a finished search, or from chance, to one architecture: the deriver and the methods that score candidates."""
