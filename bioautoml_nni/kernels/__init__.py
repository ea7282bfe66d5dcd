"""A supernet's mixed operation and what makes it quick on a CPU; candidates enter by `Operation.add_to` alone."""
