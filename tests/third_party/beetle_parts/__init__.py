"""A plug-in package as others would write it, installed by test_contributing.py."""
