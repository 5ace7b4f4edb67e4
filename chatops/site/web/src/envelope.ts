// The chat's envelope, as chatops/chat/messages.py reads and writes it. Payloads come from strangers: whatever is not
// wholly an envelope is plain text or binary, never an exception.

export type Kind = "chat" | "system" | "join" | "leave";

export interface Envelope {
  id: string;
  from: string;
  name: string;
  kind: Kind;
  text: string;
  /** Milliseconds since the epoch, by the sender's clock. */
  sent: number;
}

export type Payload = { form: "envelope"; envelope: Envelope } | { form: "text"; text: string } | { form: "binary"; bytes: number };

const KINDS: ReadonlySet<string> = new Set<Kind>(["chat", "system", "join", "leave"]);
const KEYS = ["id", "from", "name", "kind", "text", "sent"] as const;
const MAX_DEPTH = 32;
const RFC3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;

export function encode(envelope: Envelope): Uint8Array {
  const fields = { ...envelope, sent: new Date(envelope.sent).toISOString() };
  return new TextEncoder().encode(JSON.stringify(fields, (_key, value: unknown) => (typeof value === "string" ? wellFormed(value) : value)));
}

export function decode(payload: Uint8Array): Payload {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload);
  } catch {
    return { form: "binary", bytes: payload.length };
  }
  if (text.includes("\0")) return { form: "binary", bytes: payload.length };
  const envelope = readEnvelope(text);
  return envelope ? { form: "envelope", envelope } : { form: "text", text };
}

function readEnvelope(text: string): Envelope | undefined {
  if (!/^[ \t\r\n]*\{/.test(text)) return undefined;
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null) return undefined;
  const values = fields as Record<string, unknown>;
  const [id, from, name, kind, said, sent] = KEYS.map((key) => (Object.hasOwn(values, key) ? values[key] : undefined));
  if (typeof id !== "string" || typeof from !== "string" || typeof name !== "string" || typeof said !== "string") return undefined;
  if (typeof kind !== "string" || typeof sent !== "string" || id === "" || !KINDS.has(kind)) return undefined;
  const moment = parseTime(sent);
  if (moment === undefined || !isPlain(fields) || hasKeyTwice(text)) return undefined;
  return { id, from, name, kind: kind as Kind, text: said, sent: moment };
}

/** Reads RFC 3339 with any offset; undefined when it is something else, or a day that never was. */
export function parseTime(text: string): number | undefined {
  const match = RFC3339.exec(text);
  if (!match) return undefined;
  const [, date = "", clock = "", fraction = "", zone = ""] = match;
  const moment = Date.parse(`${date}T${clock}${fraction.slice(0, 4)}${zone.toUpperCase()}`);
  const local = Date.parse(`${date}T${clock}Z`);
  // JavaScript turns 30 February into 1 March.
  if (Number.isNaN(moment) || Number.isNaN(local) || !new Date(local).toISOString().startsWith(`${date}T${clock}`)) return undefined;
  return moment;
}

/** Says whether every string is Unicode, every number finite, and the nesting shallow. */
function isPlain(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    const deeper: unknown[] = [];
    for (const item of level) {
      if (typeof item === "string" && wellFormed(item) !== item) return false;
      if (typeof item === "number" && !Number.isFinite(item)) return false;
      if (Array.isArray(item)) for (const inner of item) deeper.push(inner);
      else if (typeof item === "object" && item !== null) {
        for (const [key, inner] of Object.entries(item)) deeper.push(key, inner);
      }
    }
    if (deeper.length === 0) return true;
    level = deeper;
  }
  return false;
}

/** Says whether an object in valid JSON has a key twice, which readers resolve differently. */
function hasKeyTwice(json: string): boolean {
  const open: (Set<string> | undefined)[] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\]]/g;
  for (let match = token.exec(json); match; match = token.exec(json)) {
    const found = match[0];
    if (found === "{") open.push(new Set());
    else if (found === "[") open.push(undefined);
    else if (found === "}" || found === "]") open.pop();
    else {
      const keys = open.at(-1);
      const rest = /[ \t\r\n]*:/y;
      rest.lastIndex = token.lastIndex;
      if (!keys || !rest.test(json)) continue;
      const key = JSON.parse(found) as string;
      if (keys.has(key)) return true;
      keys.add(key);
    }
  }
  return false;
}

/** Replaces lone surrogates, which UTF-8 cannot hold, by U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, (found) => (found.length === 2 ? found : "\ufffd"));
}

const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM_BITS = 80n;

/** Makes ids that sort by time: 48 bits of milliseconds and 80 of chance; each greater than the one before. */
export class MessageIds {
  #last = -1n;
  readonly #clock: () => number;
  readonly #random: (bytes: Uint8Array) => Uint8Array;

  constructor(clock: () => number, random: (bytes: Uint8Array) => Uint8Array) {
    this.#clock = clock;
    this.#random = random;
  }

  next(): string {
    const now = BigInt(Math.max(0, Math.floor(this.#clock())));
    if (this.#last >= 0n && now <= this.#last >> RANDOM_BITS) this.#last += 1n;
    else this.#last = this.#random(new Uint8Array(10)).reduce((sum, byte) => (sum << 8n) | BigInt(byte), now);
    let rest = this.#last;
    let id = "";
    for (let index = 0; index < 26; index += 1) {
      id = (CROCKFORD[Number(rest & 31n)] ?? "0") + id;
      rest >>= 5n;
    }
    return id;
  }
}
