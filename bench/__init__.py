"""Measurements of the service. README.md describes each one, how to run it and how to read its results."""
