"""`bioautoml serve`: an exported model as a small web service with a page, on this machine's loopback address."""
