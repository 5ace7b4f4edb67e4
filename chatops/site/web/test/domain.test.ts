import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, FIRST_MS, LONGEST_MS } from "../src/backoff";
import { parseConfig } from "../src/config";
import { linkify } from "../src/linkify";
import { Memory } from "../src/memory";
import { measure } from "../src/meter";
import { Outbox } from "../src/outbox";
import { Presence } from "../src/presence";
import { linkOf, MAX_PAYLOAD_BYTES, parseRoom, roomOf } from "../src/rooms";
import { senderOf } from "../src/sender";
import { shortIdentity, shownName, shownText } from "../src/text";
import { grouping, KEPT, Timeline, type Entry } from "../src/timeline";
import { WindowedList } from "../src/windowed";

const PREFIX = "/chat/";

function entry(key: string, more: Partial<Entry> = {}): Entry {
  return { key, type: "chat", from: "a", name: "Ada", text: "x", at: Date.UTC(2026, 0, 1, 12), own: false, ...more };
}

test("rooms: whole topics and short names", () => {
  assert.deepEqual(parseRoom("lobby", PREFIX), { room: { topic: "/chat/lobby", name: "lobby" } });
  assert.deepEqual(parseRoom("/chat/games/chess", PREFIX), { room: { topic: "/chat/games/chess", name: "games/chess" } });
});

test("rooms: what AWS IoT or the prefix would refuse", () => {
  const bad = ["", "/", "/other/lobby", "$aws/things", "a+b", "#", "/chat/", "/chat//", "a/b/c/d/e/f/g", "x".repeat(251), "a\u0000", "a\ud800", "\uffff"];
  for (const text of bad) assert.ok("problem" in parseRoom(text, PREFIX), JSON.stringify(text));
  assert.ok("room" in parseRoom("x".repeat(250), PREFIX));
  assert.ok("problem" in parseRoom("é".repeat(126), PREFIX));
});

test("deep links go there and back, hostile ones nowhere", () => {
  for (const topic of ["/chat/lobby", "/chat/games/chess", "/chat/50% & ? #1 <b>", "/chat/غرفة"]) {
    const found = roomOf(linkOf(topic), PREFIX);
    assert.equal(found?.topic, topic.includes("#") ? undefined : topic);
  }
  assert.equal(linkOf("/chat/games/chess"), "#/chat/games/chess");
  for (const hash of ["", "#", "#%", "#/other/x", "#javascript:alert(1)//"]) {
    const found = roomOf(hash, PREFIX);
    assert.ok(found === undefined || found.topic.startsWith(PREFIX), hash);
  }
});

test("backoff: full jitter, doubled, capped, for any number of failures", () => {
  assert.equal(backoff(0, () => 0), 0);
  assert.equal(backoff(0, () => 0.999999), FIRST_MS);
  assert.equal(backoff(3, () => 0.5), FIRST_MS * 4);
  assert.equal(backoff(1e9, () => 0.999999), LONGEST_MS);
});

test("outbox: each message once a connection, again on the next, under its id", () => {
  const outbox = new Outbox();
  outbox.add("1", "/chat/a", () => new Uint8Array());
  outbox.add("1", "/chat/a", () => new Uint8Array());
  outbox.add("2", "/chat/a", () => new Uint8Array());
  assert.deepEqual(outbox.take().map(({ id }) => id), ["1", "2"]);
  assert.deepEqual(outbox.take(), []);
  outbox.sent("1");
  outbox.lost();
  assert.deepEqual(outbox.take().map(({ id }) => id), ["2"]);
  outbox.failed("2", "refused");
  outbox.failed("1", "too late");
  assert.equal(outbox.get("1")?.state, "sent");
  assert.equal(outbox.get("2")?.problem, "refused");
  outbox.lost();
  assert.deepEqual(outbox.take(), []);
  outbox.retry("1");
  outbox.retry("2");
  assert.deepEqual(outbox.take().map(({ id }) => id), ["2"]);
});

test("outbox: no more in flight than AWS IoT takes, and no growth", () => {
  const outbox = new Outbox();
  for (let index = 0; index < 3_000; index += 1) outbox.add(String(index), "/chat/a", () => new Uint8Array());
  let sent = 0;
  for (let due = outbox.take(); due.length > 0; due = outbox.take()) {
    assert.ok(due.length <= 50);
    for (const { id } of due) outbox.sent(id);
    sent += due.length;
  }
  assert.equal(sent, 3_000);
  assert.equal(outbox.get("0"), undefined);
  assert.equal(outbox.get("2999")?.state, "sent");
});

test("timeline: each id once, bounded whatever comes", () => {
  const timeline = new Timeline();
  assert.equal(timeline.add(entry("1")), true);
  assert.equal(timeline.add(entry("1")), false);
  for (let index = 0; index < 3 * KEPT; index += 1) timeline.add(entry(`k${index}`));
  assert.ok(timeline.entries.length <= KEPT + 200);
  assert.equal(timeline.dropped + timeline.entries.length, 3 * KEPT + 1);
});

test("timeline: the unread count and the marker of the first one", () => {
  const timeline = new Timeline();
  timeline.markUnread(entry("1"));
  timeline.markUnread(entry("2"));
  assert.deepEqual([timeline.unread, timeline.firstUnread], [2, "1"]);
  timeline.read();
  assert.deepEqual([timeline.unread, timeline.firstUnread], [0, "1"]);
  timeline.forgetMarker();
  assert.equal(timeline.firstUnread, undefined);
});

test("grouping: by sender, by name, by pause and by day", () => {
  const first = entry("1");
  const minute = 60_000;
  assert.deepEqual(grouping(undefined, first), { startsDay: true, startsGroup: true });
  assert.deepEqual(grouping(first, entry("2", { at: first.at + minute })), { startsDay: false, startsGroup: false });
  assert.equal(grouping(first, entry("2", { at: first.at + 6 * minute })).startsGroup, true);
  assert.equal(grouping(first, entry("2", { from: "b" })).startsGroup, true);
  assert.equal(grouping(first, entry("2", { name: "Eve" })).startsGroup, true);
  assert.equal(grouping(first, entry("2", { at: first.at + 24 * 60 * minute })).startsDay, true);
});

test("windowed list: shows what is in view, and the parts add up", () => {
  const list = new WindowedList(40, 2);
  list.resize(1_000);
  assert.deepEqual(list.range(0, 400), { start: 0, end: 12, before: 0, after: 988 * 40 });
  assert.deepEqual(list.range(4_000, 400), { start: 98, end: 112, before: 98 * 40, after: 888 * 40 });
  assert.equal(list.range(1e9, 400).end, 1_000);
  assert.equal(list.measured(0, 100), 60);
  assert.equal(list.measured(5_000, 100), 0);
  assert.equal(list.height, 1_000 * 40 + 60);
  assert.equal(list.drop(1), 100);
  assert.equal(list.length, 999);
  list.resize(0);
  assert.deepEqual(list.range(0, 400), { start: 0, end: 0, before: 0, after: 0 });
});

test("links: only http and https, without the sentence around them", () => {
  assert.deepEqual(linkify("see (https://example.org/a_(b)), or http://x.test."), [
    { text: "see (" },
    { text: "https://example.org/a_(b)", href: "https://example.org/a_(b)" },
    { text: "), or " },
    { text: "http://x.test", href: "http://x.test/" },
    { text: "." },
  ]);
  for (const text of ["javascript:alert(1)", "data:text/html,<b>", "https://", "https://user:pw@bank.test/", "<a href=x>", ""]) {
    assert.ok(!linkify(text).some(({ href }) => href !== undefined), text);
  }
});

test("links: whatever the text, it is all there, and nothing takes long", () => {
  for (const text of ["https://a.test/<script>", `${"https://a.test ".repeat(500)}`, "https://".repeat(5_000), `https://a.test/${")".repeat(3_000)}`]) {
    assert.equal(linkify(text).map((segment) => segment.text).join(""), text);
  }
});

test("shown text: no control and no direction override survives; scripts and emoji do", () => {
  assert.equal(shownText("a\u202eb\u0007c\u2066"), "a\ufffdb\ufffdc\ufffd");
  assert.equal(shownText("שלום 👩‍👩‍👧 हिन्दी\n\tx"), "שלום 👩‍👩‍👧 हिन्दी\n\tx");
  assert.equal(shownName(" a\n b "), "a b");
  assert.equal([...shownName("😀".repeat(100))].length, 40);
  assert.equal(shortIdentity("eu-west-1:7b0cb1f2-1111-4222-8333-444455556666"), "…556666");
});

test("meter: bytes as sent, against AWS IoT's limit", () => {
  const draft = { id: "0".repeat(26), from: "x", name: "y", kind: "chat" as const, text: "", sent: 0 };
  assert.deepEqual(measure(draft).words, "");
  const room = MAX_PAYLOAD_BYTES - measure(draft).bytes;
  assert.equal(measure({ ...draft, text: "é".repeat(Math.floor(room / 2)) }).fits, true);
  assert.deepEqual(measure({ ...draft, text: "x".repeat(room + 1) }), { bytes: MAX_PAYLOAD_BYTES + 1, fits: false, words: "1 bytes too long" });
});

test("presence: heard, left, forgotten, bounded", () => {
  const presence = new Presence();
  presence.heard("1", "Eve", 0);
  presence.heard("2", "Ada", 0);
  assert.deepEqual(presence.people(0).map(({ name }) => name), ["Ada", "Eve"]);
  presence.left("2");
  assert.equal(presence.people(0).length, 1);
  assert.equal(presence.people(31 * 60_000).length, 0);
  for (let index = 0; index < 2_000; index += 1) presence.heard(String(index), "", 0);
  assert.equal(presence.people(0).length, 500);
});

test("config.json: every key, and addresses only of their kind", () => {
  const good = {
    title: "t", region: "eu-west-1", identityPoolId: "p", gateway: "wss://g.test/mqtt", cognito: "https://c.test/", topicPrefix: "/chat/", rooms: ["/chat/lobby", 7],
  };
  assert.deepEqual(parseConfig(good).rooms, ["/chat/lobby"]);
  for (const bad of [null, [], "x", {}, { ...good, title: "" }, { ...good, gateway: "javascript:1" }, { ...good, cognito: "ws://x" }]) {
    assert.throws(() => parseConfig(bad), /config\.json/);
  }
});

test("memory: several tabs are one guest; broken storage is a new one", () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  const one = new Memory("pool", storage);
  const other = new Memory("pool", storage);
  one.update({ identityId: "eu-west-1:7b0c", name: "Ada" });
  assert.equal(other.identity(), "eu-west-1:7b0c");
  other.update({ signedIn: true });
  assert.equal(new Memory("pool", storage).value.name, "Ada");
  other.forgetIdentity();
  assert.equal(new Memory("pool", storage).identity(), undefined);
  for (const text of ["{", "7", '{"rooms":{},"identityId":"<b>","name":5}']) {
    kept.set("chatops:pool", text);
    assert.deepEqual(new Memory("pool", storage).value, { name: "", rooms: [], signedIn: false });
  }
  const none = new Memory("pool", undefined);
  none.update({ name: "Eve" });
  assert.equal(none.value.name, "Eve");
});

test("the sender is what the command line makes of the same identity, and does not tell it", () => {
  assert.equal(senderOf("eu-west-1:7b0cb1f2-1111-4222-8333-444455556666"), "guest-37f7e381398f2bc8");
});
