"""The journal of a collection: a stream with one entry for each change, in the order in which the changes were made.

The stable names:

- `change.Change` is one entry, `change.decode(id, fields)` makes it of an entry as Redis replies it, and
  `change.position(cursor)` gives the two numbers of a cursor, after checking its form;
- `journal.Journal(runner)` reads: `read(collection, after, limit)`, `latest(collection)`, `entry(collection, cursor)`,
  `history(collection, id, before, limit)`;
- `retention.Retention(entries, seconds, values)` are the limits of a journal: `Write.journal`, None without one;
- `Collection.journal` is the key of the stream.

A cursor is the stream's id of an entry as text, `MS-NUMBER`. `read` raises errors.Trimmed, which has `oldest`, if an
entry after the cursor has been removed.
"""
