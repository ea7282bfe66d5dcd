"""Images that an archive lists by URL, downloaded into a folder with a table of where they come from."""
