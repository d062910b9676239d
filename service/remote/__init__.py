"""Other servers, asked over HTTP as a considerate client asks."""
