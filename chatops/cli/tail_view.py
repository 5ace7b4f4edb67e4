"""What a tail has shown so far, and how it shows what comes next."""

import contextlib
import random
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from chatops.chat.gaps import Gap
from chatops.chat.presence import sender_of
from chatops.chat.recordings import RecordedMessage, gap_line, message_line
from chatops.chat.selection import matches
from chatops.chat.text import safe_text
from chatops.chat.topic_filters import topic_matcher
from chatops.chat.traffic import Traffic
from chatops.cli.tail_options import TailOptions
from chatops.cli.tail_recorder import Recorder
from chatops.mqtt.inbox import Delivery
from chatops.mqtt.watching import Arrived, Connected, Lost, Overrun
from chatops.render.footer import footer_line, summary_line
from chatops.render.messages import (
    JsonLines,
    gap_record,
    gap_words,
    json_line,
    message_record,
    received_at,
    terminal_line,
)
from chatops.render.output import Output

if TYPE_CHECKING:
    from chatops.mqtt.watching import Event


class End(Enum):
    """What ended a tail by itself, in words."""

    COUNT = "-n messages have come"
    UNTIL = "--until has come"
    TIME = "--for is over"
    IDLE = "nothing has come for --idle"


class TailView:
    """Shows events, one after the other.

    Args:
        recorder: gets whatever is shown, and the gaps.
    """

    def __init__(self, out: Output, options: TailOptions, recorder: Recorder | None) -> None:
        self._out = out
        self._options = options
        self._recorder = recorder
        self._left = options.ends.count
        self._as_lines = options.line_format is None and (out.json_mode or not out.on_terminal)
        self._json = JsonLines()
        self._several = len(options.filters) > 1 or any(mark in options.filters[0] for mark in "+#")
        self._excluded = topic_matcher(options.exclude) if options.exclude else None
        self._traffic = Traffic(time.time()) if options.stats else None
        self._has_footer = options.stats and out.on_terminal
        self._footer = ""
        self._lost: Lost | None = None
        self._plain = (
            self._as_lines
            and options.wanted.takes_all
            and options.share >= 1
            and not options.exclude
            and options.ends.until is None
            and recorder is None
            and self._traffic is None
        )
        self.last_shown = 0.0
        """When the last message was shown, on the monotonic clock."""

    def show(self, event: "Event") -> End | None:
        """Show one event; returns what it ends."""
        match event:
            case Arrived():
                return self._arrived(event.deliveries)
            case Connected():
                self._connected(event)
            case Overrun():
                if self._traffic is not None:
                    self._traffic.missed += event.gap.missed or 0
                self._gap(event.gap)
            case Lost():
                self._lost = event
                when = event.since.astimezone().strftime("%H:%M:%S")
                self.note(f"-- {when} lost the connection: {safe_text(event.reason)}; connecting again --")
        return None

    def note(self, text: str) -> None:
        """Say something beside the data."""
        self._clear_footer()
        self._out.note(text)

    def refresh(self) -> None:
        """Draw the footer anew, when there is one."""
        if self._has_footer and self._traffic is not None:
            width = shutil.get_terminal_size().columns - 1
            self._clear_footer()
            self._footer = footer_line(self._traffic, time.time(), width)
            sys.stdout.write(self._footer)
            sys.stdout.flush()

    def close(self) -> None:
        """Show what is left to say: that a gap lasts, and the figures."""
        if self._lost is not None:
            self._gap(Gap(self._lost.since, None, self._lost.reason))
        self._clear_footer()
        if self._traffic is not None:
            self._out.note(summary_line(self._traffic, time.time()))

    def _connected(self, event: Connected) -> None:
        if event.renewed:
            self._out.detail("connected anew before the credentials expire; nothing was missed")
        elif event.gap is None:
            self.note(f"watching {', '.join(self._options.filters)} as {sender_of(event.client_id)}")
        else:
            self._lost = None
            self._gap(event.gap)
            away = ((event.gap.until or event.gap.since) - event.gap.since).total_seconds()
            if self._as_lines or not self._out.on_terminal:  # where the gap's line does not say it
                self.note(f"-- connected again after {away:.1f} s; what was posted meanwhile is missed --")

    def _gap(self, gap: Gap) -> None:
        if self._recorder is not None:
            self._recorder.write([gap_line(gap)])
        if self._as_lines:
            self._write([json_line(gap_record(gap))])
        elif self._out.on_terminal:
            self._write([self._out.styled(gap_words(gap), "1;33")])
        else:
            # Lines of the user's own format are not mixed with others; and a gap is told however quiet one is.
            with contextlib.suppress(BrokenPipeError):
                sys.stderr.write(f"{gap_words(gap)}\n")

    def _arrived(self, deliveries: Sequence[Delivery]) -> End | None:
        if self._plain:
            taken = deliveries[: self._left]
            self.last_shown = time.monotonic()
            self._write([self._json.line(delivery) for delivery in taken])
            return self._count(len(taken))
        lines: list[str] = []
        recorded: list[str] = []
        end: End | None = None
        for delivery in deliveries:
            record = self._wanted(delivery)
            if record is None:
                continue
            lines.append(self._line(record))
            if self._recorder is not None:
                recorded.append(_recorded(delivery))
            if self._traffic is not None:
                self._traffic.add(record, delivery.at)
            if self._options.ends.until is not None and matches(self._options.ends.until, record):
                end = End.UNTIL
            end = self._count(1) or end
            if end is not None:
                break
        if self._recorder is not None:
            self._recorder.write(recorded)
        if lines:
            self.last_shown = time.monotonic()
            self._write(lines)
        return end

    def _wanted(self, delivery: Delivery) -> dict[str, Any] | None:
        """The record of a delivery that is to be shown."""
        options = self._options
        if self._excluded is not None and self._excluded(delivery.topic):
            return None
        if options.share < 1 and random.random() >= options.share:  # noqa: S311  (a sample, not a secret)
            return None
        record = message_record(delivery, received_at(delivery))
        return record if options.wanted.takes_all or options.wanted.takes(record) else None

    def _count(self, shown: int) -> End | None:
        if self._left is None:
            return None
        self._left -= shown
        return End.COUNT if self._left <= 0 else None

    def _line(self, record: dict[str, Any]) -> str:
        if self._options.line_format is not None:
            return self._options.line_format(record)
        if self._as_lines:
            return json_line(record)
        width = shutil.get_terminal_size().columns
        return terminal_line(self._out, record, several_rooms=self._several, width=width)

    def _write(self, lines: Sequence[str]) -> None:
        self._clear_footer()
        self._out.lines(lines)

    def _clear_footer(self) -> None:
        if self._footer:
            self._footer = ""
            sys.stdout.write("\r\x1b[2K")


def _recorded(delivery: Delivery) -> str:
    at = datetime.fromtimestamp(delivery.at, UTC)
    return message_line(
        RecordedMessage(at, delivery.topic, delivery.payload, delivery.retain, delivery.user_properties)
    )
