"""The ledger against a model that remembers everything, and case by case."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatops.load.ledger import Ledger, Post
from chatops.load.message import post_number
from chatops.load.tally import Kind, Tally

TOPIC = "/chat/a"
OTHER = "/chat/b"


def ledger(people: int = 3, *, patience_us: int = 1_000) -> Ledger:
    return Ledger([(TOPIC, range(people)), (OTHER, [people])], patience_us=patience_us)


def all_join(books: Ledger, at_us: int = 1) -> None:
    for client in [member for room in books.rooms for member in room.members]:
        books.subscribing(client, at_us)
        books.subscribed(client, at_us)


def post(books: Ledger, sequence: int, *, due_us: int, acked_us: int | None = None, sender: int = 0) -> Post:
    books.due(sender, 2)
    entry = books.sent(sender, sequence, due_us=due_us, sent_us=due_us, window=2)
    if acked_us is not None:
        books.acknowledged(entry, acked_us)
    return entry


def test_everything_that_was_owed_and_came_is_received_and_nothing_is_kept() -> None:
    books = ledger()
    all_join(books)
    entry = post(books, 0, due_us=10, acked_us=12)
    for receiver in range(3):
        assert books.delivered(entry.number, receiver, TOPIC) is entry
    assert books.total(2) == Tally(due=1, sent=1, acknowledged=1, expected=3, received=3)
    assert books.posts == {}
    assert books.differences == []


def test_deliveries_may_overtake_the_acknowledgement() -> None:
    books = ledger()
    all_join(books)
    entry = post(books, 0, due_us=10)
    for receiver in range(3):
        books.delivered(entry.number, receiver, TOPIC)
    assert entry.number in books.posts
    books.acknowledged(entry, 20)
    assert books.posts == {}
    assert books.total().received == 3


def test_what_does_not_come_in_time_is_lost_and_named() -> None:
    books = ledger()
    all_join(books)
    entry = post(books, 7, due_us=10, acked_us=12)
    books.delivered(entry.number, 0, TOPIC)
    books.settle(1_011)
    assert entry.number in books.posts
    books.settle(1_012)
    total = books.total(2)
    assert (total.expected, total.received, total.lost) == (3, 1, 2)
    assert [(d.kind, d.sender, d.sequence, d.receiver) for d in books.differences] == [
        (Kind.LOST, 0, 7, 1),
        (Kind.LOST, 0, 7, 2),
    ]


def test_what_comes_after_it_was_given_up_is_late_and_no_longer_lost() -> None:
    books = ledger()
    all_join(books)
    entry = post(books, 0, due_us=10, acked_us=12)
    books.settle(5_000)
    assert books.delivered(entry.number, 1, TOPIC) is None
    total = books.total(2)
    assert (total.lost, total.late, total.duplicate) == (2, 1, 0)
    books.delivered(entry.number, 1, TOPIC)
    assert books.total(2).late == 1


def test_a_second_arrival_is_a_duplicate_before_and_after_the_post_is_settled() -> None:
    books = ledger()
    all_join(books)
    entry = post(books, 0, due_us=10, acked_us=12)
    books.delivered(entry.number, 0, TOPIC)
    assert books.delivered(entry.number, 0, TOPIC) is None
    books.delivered(entry.number, 1, TOPIC)
    books.delivered(entry.number, 2, TOPIC)
    assert books.posts == {}
    assert books.delivered(entry.number, 2, TOPIC) is None
    assert books.total(2) == Tally(due=1, sent=1, acknowledged=1, expected=3, received=3, duplicate=2)


def test_an_earlier_post_of_the_same_sender_that_comes_later_is_reordered_once_per_receiver() -> None:
    books = ledger()
    all_join(books)
    first, second = post(books, 0, due_us=10, acked_us=11), post(books, 1, due_us=20, acked_us=21)
    for entry in (second, first):
        books.delivered(entry.number, 1, TOPIC)
    for entry in (first, second):
        books.delivered(entry.number, 2, TOPIC)
    assert books.total(2).reordered == 1
    assert books.differences[0].receiver == 1


def test_posts_of_different_senders_have_no_order() -> None:
    books = ledger()
    all_join(books)
    early, late = post(books, 0, due_us=10, acked_us=11), post(books, 0, due_us=20, acked_us=21, sender=1)
    books.delivered(late.number, 2, TOPIC)
    books.delivered(early.number, 2, TOPIC)
    assert books.total().reordered == 0


def test_nobody_owes_posts_to_those_who_were_cut_off_before() -> None:
    books = ledger()
    all_join(books)
    books.left(2, 5, lost=True)
    entry = post(books, 0, due_us=10, acked_us=12)
    books.delivered(entry.number, 0, TOPIC)
    books.delivered(entry.number, 1, TOPIC)
    assert books.posts == {}
    assert books.total(2).expected == 2
    assert books.total(2).lost == 0


@pytest.mark.parametrize(
    ("joins_us", "leaves_us", "ambiguous"),
    [
        (1, 11, 1),  # left between due and acknowledgement
        (10, None, 0),  # confirmed just when due: owed
        (11, None, 1),  # confirmed in between
        (13, None, 0),  # asked after the acknowledgement
        (1, 12, 1),  # left at the acknowledgement
        (1, 13, 0),  # left after: owed, and lost
    ],
)
def test_coming_or_going_while_a_post_is_under_way_makes_it_ambiguous(
    joins_us: int, leaves_us: int | None, ambiguous: int
) -> None:
    books = ledger(2)
    books.subscribing(0, 1)
    books.subscribed(0, 1)
    books.subscribing(1, joins_us)
    books.subscribed(1, joins_us)
    if leaves_us is not None:
        books.left(1, leaves_us, lost=False)
    entry = post(books, 0, due_us=10, acked_us=12)
    books.delivered(entry.number, 0, TOPIC)
    books.settle_all(100)
    assert books.total(2).ambiguous == ambiguous
    assert books.total(2).expected == (2 if (joins_us, leaves_us) in {(10, None), (1, 13)} else 1)


def test_a_loss_at_a_disconnect_is_told_apart() -> None:
    books = ledger(2)
    all_join(books)
    entry = post(books, 0, due_us=10, acked_us=12)
    books.delivered(entry.number, 0, TOPIC)
    books.left(1, 13, lost=True)
    books.settle_all(100)
    assert (books.total(2).lost, books.total(2).lost_at_disconnect) == (1, 1)


def test_a_post_without_acknowledgement_owes_nothing_but_its_deliveries_are_counted() -> None:
    books = ledger()
    all_join(books)
    failed, silent = post(books, 0, due_us=10), post(books, 1, due_us=11)
    books.failed(failed, 30)
    books.delivered(failed.number, 1, TOPIC)
    books.delivered(silent.number, 1, TOPIC)
    books.settle_all(50)
    total = books.total(2)
    assert (total.sent, total.acknowledged, total.failed) == (2, 0, 2)
    assert (total.expected, total.unacknowledged_received) == (0, 2)
    books.delivered(failed.number, 2, TOPIC)
    assert books.total(2).unacknowledged_received == 3


def test_strangers_and_strays_are_unexpected() -> None:
    books = ledger()
    all_join(books)
    entry = post(books, 0, due_us=10, acked_us=12)
    books.delivered(entry.number, 3, OTHER)  # in another room
    books.delivered(entry.number, 1, OTHER)  # under another room's name
    books.delivered(post_number(0, 55), 1, TOPIC)  # never sent
    books.delivered(post_number(77, 0), 1, TOPIC)  # nobody's
    books.foreign(1, 2)
    assert books.total().unexpected == 5
    for receiver in range(3):
        books.delivered(entry.number, receiver, TOPIC)
    assert books.posts == {}
    books.delivered(entry.number, 1, OTHER)  # settled, and under another room's name
    assert books.total().unexpected == 6
    assert books.total().duplicate == 0


def test_differences_are_named_up_to_a_limit_and_counted_beyond() -> None:
    books = Ledger([(TOPIC, [0])], max_differences=2)
    for _ in range(5):
        books.foreign(0, 2)
    assert len(books.differences) == 2
    assert books.differences_omitted == 3
    assert books.total().unexpected == 5


def test_by_room_and_window() -> None:
    books = ledger()
    all_join(books)
    books.sent(0, 0, due_us=1, sent_us=1, window=1)
    books.sent(3, 0, due_us=1, sent_us=1, window=2)
    assert {key: counts.sent for key, counts in books.tallies.items() if key[0] == 2} == {(2, 1): 1}
    assert books.total(1).sent == books.total(2).sent == 1
    assert books.total().sent == 2


# Against a model.


def test_losses_in_an_overfull_second_are_explained() -> None:
    books = ledger(2, patience_us=10)
    for client in range(2):
        books.subscribing(client, 0)
        books.subscribed(client, 1)
    for second, count in ((10, 100), (20, 99)):
        for index in range(count):
            sequence = second * 1000 + index
            entry = post(books, sequence, due_us=second * 1_000_000 + index, sender=0)
            books.acknowledged(entry, second * 1_000_000 + 500)
            books.delivered(entry.number, 0, TOPIC)
            if index:
                books.delivered(entry.number, 1, TOPIC)
    books.settle(100_000_000)
    counted = books.total()
    assert (counted.lost, counted.lost_over_rate) == (2, 1)


@dataclass
class _Log:
    """Everything that happened, for the model to judge afterwards."""

    due: dict[int, int] = field(default_factory=dict)
    acked: dict[int, int] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    periods: dict[int, list[list[int | None]]] = field(default_factory=dict)
    arrivals: list[tuple[int, int]] = field(default_factory=list)


def _standing(log: _Log, number: int, receiver: int) -> str:
    due, acked = log.due[number], log.acked[number]
    for _, confirmed, ended in log.periods.get(receiver, []):
        if confirmed is not None and confirmed <= due and (ended is None or ended > acked):
            return "owed"
    for asked, _, ended in log.periods.get(receiver, []):
        assert asked is not None
        if asked <= acked and (ended is None or ended >= due):
            return "maybe"
    return "absent"


def _was_there(log: _Log, number: int, receiver: int) -> bool:
    return any(ended is not None and ended < log.due[number] for _, _, ended in log.periods.get(receiver, []))


def _model(log: _Log, people: int) -> Tally:
    tally = Tally(due=len(log.due), sent=len(log.due), acknowledged=len(log.acked))
    tally.failed = len(log.due) - len(log.acked)
    first: set[tuple[int, int]] = set()
    newest: dict[tuple[int, int], int] = {}
    for number, receiver in log.arrivals:
        if (number, receiver) in first:
            tally.duplicate += 1
            continue
        first.add((number, receiver))
        key = (number >> 24, receiver)
        tally.reordered += number < newest.get(key, -1)
        newest[key] = max(number, newest.get(key, -1))
    for number in log.due:
        for receiver in range(people):
            came = (number, receiver) in first
            if number not in log.acked:
                tally.unacknowledged_received += came
                continue
            match _standing(log, number, receiver):
                case "owed":
                    tally.expected += 1
                    tally.received += came
                    tally.lost += not came
                case "maybe":
                    tally.ambiguous += 1
                    tally.ambiguous_received += came
                case _:
                    tally.unexpected += came
                    tally.missed += not came and _was_there(log, number, receiver)
    return tally


PEOPLE = 3
Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "confirm", "leave", "post", "ack", "fail", "deliver", "deliver", "deliver"]),
        st.integers(0, PEOPLE - 1),
        st.integers(0, 5),
    ),
    max_size=80,
)


def _play(books: Ledger, happened: list[Step], *, settle_every: int | None) -> _Log:  # noqa: C901  (one case a kind of event)
    log = _Log()
    entries: dict[int, Post] = {}
    sequences = [0] * PEOPLE
    for at, (what, who, which) in enumerate(happened, start=1):
        now = at * 10
        mine = log.periods.setdefault(who, [])
        present = bool(mine) and mine[-1][2] is None
        numbers = sorted(log.due, reverse=True)
        number = numbers[which % len(numbers)] if numbers else None
        match what:
            case "ask" if not present:
                books.subscribing(who, now)
                mine.append([now, None, None])
            case "confirm" if present and mine[-1][1] is None:
                books.subscribed(who, now)
                mine[-1][1] = now
            case "leave" if present:
                books.left(who, now, lost=False)
                mine[-1][2] = now
            case "post":
                entry = post(books, sequences[who], due_us=now, sender=who)
                sequences[who] += 1
                entries[entry.number] = entry
                log.due[entry.number] = now
            case "ack" if number is not None and number not in log.acked and number not in log.failed:
                books.acknowledged(entries[number], now)
                log.acked[number] = now
            case "fail" if number is not None and number not in log.acked and number not in log.failed:
                books.failed(entries[number], now)
                log.failed.add(number)
            case "deliver" if number is not None and present:
                asked = mine[-1][0]
                assert asked is not None
                if asked <= log.acked.get(number, now) and number not in log.failed:
                    books.delivered(number, who, TOPIC)
                    log.arrivals.append((number, who))
            case _:
                pass
        if settle_every is not None and at % settle_every == 0:
            books.settle(now)
    books.settle_all(len(happened) * 10 + 10)
    return log


@given(steps)
@settings(max_examples=400, deadline=None)
def test_the_ledger_agrees_with_a_model_that_remembers_everything(happened: list[Step]) -> None:
    books = ledger(PEOPLE, patience_us=10**9)
    log = _play(books, happened, settle_every=None)
    counted = books.total()
    counted.lost_at_disconnect = 0
    assert counted == _model(log, PEOPLE)
    assert books.lost == counted.lost
    assert books.posts == {}
    assert books.arrivals == len(log.arrivals)


@given(steps, st.integers(1, 5), st.integers(0, 100))
@settings(max_examples=200, deadline=None)
def test_impatience_moves_deliveries_from_received_to_late_and_nothing_else(
    happened: list[Step], settle_every: int, patience_us: int
) -> None:
    books = ledger(PEOPLE, patience_us=patience_us)
    log = _play(books, happened, settle_every=settle_every)
    counted, model = books.total(), _model(log, PEOPLE)
    assert counted.expected == model.expected == counted.received + counted.late + counted.lost
    assert counted.received + counted.late == model.received
    assert books.lost == counted.lost == model.lost
    assert counted.duplicate == model.duplicate
    assert counted.ambiguous_received == model.ambiguous_received
    assert books.posts == {}
