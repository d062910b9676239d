"""Tests the count of unread pieces: all followers share one limit, and a shared piece counts once."""

from service.storage.feed.tail import BEGINNING, Piece
from service.storage.feed.unread import Unread


class Reader:
    cut = False

    def cut_off(self) -> None:
        self.cut = True


def piece(size: int) -> Piece:
    return Piece(BEGINNING, (1, 0), b"x" * size)


def test_over_the_limit_the_clients_that_have_waited_longest_are_cut_off() -> None:
    unread, readers = Unread(100), [Reader() for _ in range(5)]
    for reader in readers:
        unread.add(reader, piece(40))
    assert [reader.cut for reader in readers] == [True, True, True, False, False]
    assert unread.bytes == 80


def test_a_shared_piece_counts_once() -> None:
    unread, readers, shared = Unread(100), [Reader() for _ in range(50)], piece(60)
    for reader in readers:
        unread.add(reader, shared)
    assert unread.bytes == 60
    for reader in readers[:49]:
        unread.remove(reader)
    assert unread.bytes == 60
    unread.remove(readers[49])
    unread.remove(readers[49])
    assert unread.bytes == 0
    assert not any(reader.cut for reader in readers)


def test_all_clients_with_one_shared_piece_are_cut_off_if_necessary() -> None:
    unread, readers, shared, late = Unread(100), [Reader() for _ in range(50)], piece(60), Reader()
    for reader in readers:
        unread.add(reader, shared)
    unread.add(late, piece(60))
    assert all(reader.cut for reader in readers)
    assert (late.cut, unread.bytes) == (False, 60)


def test_one_client_alone_may_have_a_piece_over_the_limit() -> None:
    unread, alone = Unread(100), Reader()
    unread.add(alone, piece(200))
    assert not alone.cut
