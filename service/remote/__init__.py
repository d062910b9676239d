"""HTTP client of other servers."""
