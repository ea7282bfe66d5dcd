"""A package with a plug-in of every kind, each as short as can be; docs/plugins.md walks through it."""
