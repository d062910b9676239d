"""Measurements of the service: README.md says what each is, how to run it and how to read it."""
