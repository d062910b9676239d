"""A considerate HTTP client of other servers."""
