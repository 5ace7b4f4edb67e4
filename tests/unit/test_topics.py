"""Topics, filters and the index that finds filters for topics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatops.local.topics import FilterIndex, matches, parse_filter, topic_problem

AWS = {"max_bytes": 256, "max_slashes": 7}
FREE: dict[str, int | None] = {"max_bytes": None, "max_slashes": None}


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "a/b", False),
        ("a/b", "a", False),
        ("+", "a", True),
        ("+", "a/b", False),
        ("+", "/a", False),
        ("/+", "/a", True),
        ("+/+", "/a", True),
        ("#", "a/b/c", True),
        ("#", "/", True),
        ("a/#", "a", True),
        ("a/#", "a/b", True),
        ("a/#", "ab", False),
        ("a/+/#", "a", False),
        ("a/+/#", "a/b", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a//c", True),
        ("a/+", "a/", True),
        ("a//b", "a//b", True),
        ("#", "$aws/x", False),
        ("+/x", "$aws/x", False),
        ("$aws/#", "$aws/x", True),
        ("$aws/+", "$aws/x", True),
        ("a/#", "a/$b", True),
        ("A", "a", False),
    ],
)
def test_matching(pattern: str, topic: str, *, expected: bool) -> None:
    assert matches(pattern, topic) is expected
    index: FilterIndex[str, str] = FilterIndex()
    index.add(pattern, "key", "value")
    assert index.match(topic) == (["value"] if expected else [])


levels = st.sampled_from(["a", "b", "", "$x", "é"])
some_topics = st.lists(levels, min_size=1, max_size=5).map("/".join).filter(bool)
some_filters = st.builds(
    lambda head, tail: "/".join([*head, *tail]),
    st.lists(levels | st.just("+"), max_size=4),
    st.sampled_from([["#"], ["+"], ["a"], ["b"]]),
)


@given(st.lists(st.tuples(some_filters, st.integers(0, 3)), max_size=20), some_topics, st.data())
def test_the_index_agrees_with_plain_matching(filed: list[tuple[str, int]], topic: str, data: st.DataObject) -> None:
    index: FilterIndex[int, tuple[str, int]] = FilterIndex()
    for pattern, key in filed:
        index.add(pattern, key, (pattern, key))
    kept = set(filed)
    assert len(index) == len(kept)
    assert sorted(index.match(topic)) == sorted(entry for entry in kept if matches(entry[0], topic))
    for pattern, key in data.draw(st.lists(st.sampled_from(filed), max_size=10) if filed else st.just([])):
        assert index.remove(pattern, key) is ((pattern, key) in kept)
        kept.discard((pattern, key))
    assert sorted(index.match(topic)) == sorted(entry for entry in kept if matches(entry[0], topic))
    for pattern, key in kept:
        index.remove(pattern, key)
    assert len(index) == 0
    assert not index._root.children


def test_removing_what_is_not_there() -> None:
    index: FilterIndex[str, int] = FilterIndex()
    index.add("a/b", "one", 1)
    assert not index.remove("a/b", "two")
    assert not index.remove("a", "one")
    assert not index.remove("a/b/c", "one")
    assert index.match("a/b") == [1]


def test_filing_again_replaces() -> None:
    index: FilterIndex[str, int] = FilterIndex()
    index.add("a", "one", 1)
    index.add("a", "one", 2)
    assert (index.match("a"), len(index)) == ([2], 1)


def test_a_very_deep_topic_exhausts_nothing() -> None:
    deep = "/".join(["a"] * 30_000)
    index: FilterIndex[str, int] = FilterIndex()
    index.add("/".join(["+"] * 30_000), "plus", 1)
    index.add("a/#", "hash", 2)
    index.add(deep, "exact", 3)
    assert sorted(index.match(deep)) == [1, 2, 3]
    assert index.remove(deep, "exact")
    assert index.remove("/".join(["+"] * 30_000), "plus")
    assert index.match(deep) == [2]


@pytest.mark.parametrize("text", ["a", "a/+", "#", "/", "a//b", "+/+/#", "$aws/events/#", "grüße/+"])
def test_good_filters(text: str) -> None:
    assert parse_filter(text, **AWS).pattern == text


@pytest.mark.parametrize(
    "text", ["", "a+", "+a/b", "a/#/b", "##", "a/b#", "a\0b", "$share", "$share/g", "$share//a", "$share/+/a"]
)
def test_bad_filters(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_filter(text, **AWS)


def test_shared_filters() -> None:
    shared = parse_filter("$share/readers/a/+", **AWS)
    assert (shared.group, shared.pattern, shared.exact) == ("readers", "a/+", False)
    assert parse_filter("$share/readers//a", **AWS).pattern == "/a"
    assert parse_filter("$share/" + "g" * 200 + "/" + "a" * 200, **AWS).exact


def test_sizes() -> None:
    assert topic_problem("a" * 256, **AWS) is None
    assert topic_problem("a" * 257, **AWS) is not None
    assert topic_problem("é" * 129, **AWS) is not None
    assert topic_problem("/" * 7, **AWS) is None
    assert topic_problem("/" * 8, **AWS) is not None
    assert topic_problem("/" * 8, **FREE) is None
    assert topic_problem("a" * 65_536, **FREE) is not None
    with pytest.raises(ValueError, match="slashes"):
        parse_filter("/" * 8, **AWS)
    with pytest.raises(ValueError, match="bytes"):
        parse_filter("a" * 257, **AWS)


def test_the_slashes_of_basic_ingest_do_not_count() -> None:
    assert topic_problem("$aws/rules/mine/" + "a/" * 7, **AWS) is None
    assert topic_problem("$aws/rules/mine/" + "a/" * 8, **AWS) is not None


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "$share/g/a", "\ud800"])
def test_bad_topics(topic: str) -> None:
    assert topic_problem(topic, **AWS) is not None


@given(st.text(max_size=30))
def test_any_text_is_judged(text: str) -> None:
    topic_problem(text, **AWS)
    try:
        parsed = parse_filter(text, **AWS)
    except ValueError:
        return
    assert parsed.pattern
