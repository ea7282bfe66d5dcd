"""`python -m bioautoml_nni`: the command line."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.argv[0] = "bioautoml"
    main()
