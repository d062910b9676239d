"""The vendors' pages as conversations, and their replay against any server."""
