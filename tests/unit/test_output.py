import io

import pytest

from chatops.render.output import Output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_data_and_words_go_their_own_ways() -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(stdout=stdout, stderr=stderr)
    out.data("data")
    out.document({"a": "ü"})
    out.note("note")
    out.detail("detail")
    out.error("it broke", "mend it")
    assert stdout.getvalue() == 'data\n{\n  "a": "\\u00fc"\n}\n'
    assert stderr.getvalue() == "note\nerror: it broke\n  fix: mend it\n"


def test_quiet_and_verbose() -> None:
    stderr = io.StringIO()
    Output(quiet=True, stderr=stderr).note("note")
    assert stderr.getvalue() == ""
    Output(verbose=True, stderr=stderr).detail("detail")
    assert stderr.getvalue() == "detail\n"


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_only_where_it_is_wanted(variables: dict[str, str]) -> None:
    assert Output(stdout=Terminal(), variables=variables).styled("x", "1") == "x"
    assert Output(stdout=io.StringIO(), variables={}).styled("x", "1") == "x"
    assert Output(stdout=Terminal(), variables={}).styled("x", "1") == "\x1b[1mx\x1b[0m"
