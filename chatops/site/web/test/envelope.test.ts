import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, MessageIds, parseTime, wellFormed, type Envelope } from "../src/envelope";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const said: Envelope = { id: "01J", from: "eu-west-1:a", name: "Ada", kind: "chat", text: "hé", sent: Date.UTC(2026, 0, 31, 23, 59, 59, 123) };
const json = '{"id":"01J","from":"eu-west-1:a","name":"Ada","kind":"chat","text":"hé","sent":"2026-01-31T23:59:59.123Z"}';

test("writes the very bytes that the command line writes, and reads them back", () => {
  assert.equal(new TextDecoder().decode(encode(said)), json);
  assert.deepEqual(decode(bytes(json)), { form: "envelope", envelope: said });
});

test("ignores keys it does not know", () => {
  assert.equal(decode(bytes(json.replace("{", '{"later":{"a":[1,null]},'))).form, "envelope");
});

test("takes whatever is not wholly an envelope for text", () => {
  const broken = [
    "hello",
    "{",
    "[]",
    "null",
    "{}",
    json.replace('"chat"', '"shout"'),
    json.replace('"01J"', '""'),
    json.replace('"01J"', "7"),
    json.replace("2026-01-31", "2026-02-30"),
    json.replace("{", '{"id":"again",'),
    json.replace("{", '{"x":{"a":1,"a":2},'),
    json.replace("{", '{"x":1e999,'),
    json.replace("{", '{"x":"\\ud800",'),
    json.replace("{", `{"x":${"[".repeat(40)}${"]".repeat(40)},`),
    "[".repeat(200_000),
    '{"__proto__":{"id":"1","from":"","name":"","kind":"chat","text":"","sent":"2026-01-01T00:00:00Z"}}',
  ];
  for (const text of broken) assert.deepEqual(decode(bytes(text)), { form: "text", text }, text.slice(0, 80));
});

test("takes what is not UTF-8, or has a NUL, for binary", () => {
  assert.deepEqual(decode(new Uint8Array([0xff, 0xfe])), { form: "binary", bytes: 2 });
  assert.deepEqual(decode(bytes("a\0b")), { form: "binary", bytes: 3 });
});

test("reads RFC 3339 with offsets and decimals, and nothing else", () => {
  assert.equal(parseTime("2026-01-31t12:00:00.5+02:00"), Date.UTC(2026, 0, 31, 10, 0, 0, 500));
  assert.equal(parseTime("2026-01-31T12:00:00.123456789Z"), Date.UTC(2026, 0, 31, 12, 0, 0, 123));
  for (const text of ["", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T00:00:00Z", "31 Jan 2026", "2026-01-31T24:00:00Z"]) {
    assert.equal(parseTime(text), undefined, text);
  }
});

test("replaces lone surrogates and keeps pairs", () => {
  assert.equal(wellFormed("a\ud800b\udc00c😀"), "a\ufffdb\ufffdc😀");
});

test("ids grow, within a millisecond and when the clock goes back", () => {
  let now = 1_700_000_000_000;
  const ids = new MessageIds(
    () => now,
    (target) => target.fill(0xff),
  );
  const made = [ids.next(), ids.next()];
  now -= 5_000;
  made.push(ids.next());
  now += 10_000;
  made.push(ids.next());
  assert.deepEqual([...made].sort(), made);
  assert.equal(new Set(made).size, 4);
  for (const id of made) assert.match(id, /^[0-9A-HJKMNP-TV-Z]{26}$/);
});
