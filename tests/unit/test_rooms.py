"""Rooms as users write them, and AWS IoT Core's limits."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.chat.rooms import MAX_TOPIC_BYTES, MAX_TOPIC_SLASHES, Room, check_prefix, parse_filter, parse_room
from chatops.errors import ConfigurationError, UsageError


class TestRoom:
    @pytest.mark.parametrize(
        ("text", "topic", "name"),
        [
            ("lobby", "/chat/lobby", "lobby"),
            ("/chat/lobby", "/chat/lobby", "lobby"),
            ("games/chess", "/chat/games/chess", "games/chess"),
            ("/chat/games/chess", "/chat/games/chess", "games/chess"),
            ("chat/lobby", "/chat/chat/lobby", "chat/lobby"),
            ("Größe 日本 😀", "/chat/Größe 日本 😀", "Größe 日本 😀"),
            ("a*b?${x}", "/chat/a*b?${x}", "a*b?${x}"),
            ("\U0001fae8 \U0001fae9", "/chat/\U0001fae8 \U0001fae9", "\U0001fae8 \U0001fae9"),
            ("a$aws", "/chat/a$aws", "a$aws"),
        ],
    )
    def test_short_and_whole(self, text: str, topic: str, name: str) -> None:
        room = parse_room(text)
        assert room == Room(topic, name)
        assert str(room) == topic

    @pytest.mark.parametrize("prefix", ["chat/", "rooms/eu/", "/a/b/"])
    def test_other_prefixes(self, prefix: str) -> None:
        assert parse_room("lobby", prefix) == Room(f"{prefix}lobby", "lobby")
        assert parse_room(f"{prefix}lobby", prefix) == Room(f"{prefix}lobby", "lobby")

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "empty"),
            ("/lobby", "outside /chat/"),
            ("/chatter/x", "outside /chat/"),
            ("/chat", "outside /chat/"),
            ("/Chat/lobby", "outside /chat/"),
            ("$aws/things/x/shadow/update", "outside /chat/"),
            ("$SYS/x", "outside /chat/"),
            ("/chat/", "names no room"),
            ("/chat//", "names no room"),
            ("+", "pattern"),
            ("#", "pattern"),
            ("/chat/#", "pattern"),
            ("games/+", "pattern"),
            ("a+b", "pattern"),
            ("c#", "pattern"),
            ("a\x00b", "control character"),
            ("a\nb", "control character"),
            ("a\x1b[31m", "control character"),
            ("a\x85b", "control character"),
            ("a\ud800b", "control character or a code point"),
            ("a\ufdd0", "control character or a code point"),
            ("a\U0010fffe", "control character or a code point"),
            ("a\uffff", "control character or a code point"),
        ],
    )
    def test_refused(self, text: str, says: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_room(text)
        assert says in caught.value.problem
        assert caught.value.remedy
        assert caught.value.problem.isprintable()

    def test_bytes_count_not_characters(self) -> None:
        fits = MAX_TOPIC_BYTES - len("/chat/")
        assert parse_room("x" * fits).topic == "/chat/" + "x" * fits
        with pytest.raises(UsageError, match="257 bytes"):
            parse_room("x" * (fits + 1))
        assert parse_room("é" * (fits // 2))
        with pytest.raises(UsageError, match="258 bytes"):
            parse_room("é" * (fits // 2 + 1))

    def test_slashes(self) -> None:
        fits = "/".join("x" * (MAX_TOPIC_SLASHES - 1))
        assert parse_room(fits).topic.count("/") == MAX_TOPIC_SLASHES
        with pytest.raises(UsageError, match="8 slashes"):
            parse_room(f"{fits}/x")

    def test_a_long_name_is_shown_shortened(self) -> None:
        for text in ("x" * 1_000_000, "/" + "x" * 1_000_000):
            with pytest.raises(UsageError) as caught:
                parse_room(text)
            assert len(caught.value.problem) < 200

    @given(st.text(max_size=300))
    def test_any_text_is_a_room_under_the_prefix_or_refused(self, text: str) -> None:
        with suppress(UsageError):
            room = parse_room(text)
            assert room.topic == "/chat/" + room.name
            assert len(room.topic.encode()) <= MAX_TOPIC_BYTES
            assert room.topic.count("/") <= MAX_TOPIC_SLASHES
            assert not set(room.topic) & set("+#\x00")
            assert parse_room(room.topic) == room


class TestFilter:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("lobby", "/chat/lobby"),
            ("/chat/lobby", "/chat/lobby"),
            ("games/", "/chat/games/#"),
            ("/chat/", "/chat/#"),
            ("#", "/chat/#"),
            ("+", "/chat/+"),
            ("games/+", "/chat/games/+"),
            ("+/chess", "/chat/+/chess"),
            ("games/#", "/chat/games/#"),
        ],
    )
    def test_filters(self, text: str, expected: str) -> None:
        assert parse_filter(text) == expected

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("", "empty"),
            ("a+", "misplaces"),
            ("a#", "misplaces"),
            ("#/a", "misplaces"),
            ("##", "misplaces"),
            ("++", "misplaces"),
            ("+/#/", "misplaces"),
            ("/#", "outside"),
            ("/+/lobby", "outside"),
            ("$aws/#", "outside"),
            ("$share/group//chat/lobby", "outside"),
            ("a\x1bb", "control character"),
        ],
    )
    def test_refused(self, text: str, says: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_filter(text)
        assert says in caught.value.problem

    def test_the_limits_hold_for_what_is_sent(self) -> None:
        fits = MAX_TOPIC_BYTES - len("/chat/") - len("/#")
        assert len(parse_filter("x" * fits + "/")) == MAX_TOPIC_BYTES
        with pytest.raises(UsageError, match="257 bytes"):
            parse_filter("x" * (fits + 1) + "/")

    @given(st.text("ab/+#$", max_size=12))
    def test_any_filter_lies_under_the_prefix_and_is_well_formed(self, text: str) -> None:
        try:
            topic_filter = parse_filter(text)
        except UsageError:
            return
        assert topic_filter.startswith("/chat/")
        levels = topic_filter.split("/")
        assert all(level == "+" or "+" not in level for level in levels)
        assert all("#" not in level for level in levels[:-1])
        assert levels[-1] == "#" or "#" not in levels[-1]
        assert len(levels) - 1 <= MAX_TOPIC_SLASHES


class TestPrefix:
    @pytest.mark.parametrize("prefix", ["/chat/", "chat/", "/a/b/", "é/"])
    def test_good(self, prefix: str) -> None:
        assert check_prefix(prefix) == prefix

    @pytest.mark.parametrize(
        ("prefix", "says"),
        [
            ("", "ends in a slash"),
            ("/", "ends in a slash"),
            ("//", "ends in a slash"),
            ("/chat", "ends in a slash"),
            ("$aws/", "reserved"),
            ("$share/g/", "reserved"),
            ("/+/", "wildcard"),
            ("/#/", "wildcard"),
            ("/*/", "wildcard"),
            ("/a?/", "wildcard"),
            ("/${x}/", "wildcard"),
            ("/a\n/", "control character"),
            ("/1/2/3/4/5/6/7/", "8 slashes"),
            ("x" * 255 + "/", "257 bytes"),
            ("x" * 1_000_000 + "/", "bytes"),
        ],
    )
    def test_bad(self, prefix: str, says: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            check_prefix(prefix)
        assert says in caught.value.problem
        assert len(caught.value.problem) < 250
        assert caught.value.remedy

    def test_a_prefix_leaves_room_for_a_name(self) -> None:
        longest = check_prefix("x" * 254 + "/")
        assert parse_room("y", longest).topic == longest + "y"
        deepest = check_prefix("/1/2/3/4/5/6/")
        assert parse_room("y", deepest).topic == deepest + "y"
