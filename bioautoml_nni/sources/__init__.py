"""Sources: data formats that become a manifest. Found through entry points."""
