import assert from "node:assert/strict";
import { test } from "node:test";
import { Chat } from "../src/chat";
import { decode } from "../src/envelope";
import { NOT_AUTHORISED, Refusal, type Transport, type TransportEvents, type TransportOptions } from "../src/gateway";
import { Guest } from "../src/guest";

const HOUR = 3_600_000;

class FakeTransport implements Transport {
  readonly posted: { topic: string; kind: string; id: string; text: string; from: string }[] = [];
  readonly subscribed: string[] = [];
  ended: boolean | undefined;
  answer: (topic: string) => Promise<void> = () => Promise.resolve();
  refuseRoom: string | undefined;

  constructor(
    readonly options: TransportOptions,
    readonly events: TransportEvents,
  ) {}

  subscribe(topic: string): Promise<void> {
    if (topic === this.refuseRoom) return Promise.reject(new Refusal("no", NOT_AUTHORISED));
    this.subscribed.push(topic);
    return Promise.resolve();
  }

  unsubscribe(): Promise<void> {
    return Promise.resolve();
  }

  publish(topic: string, payload: Uint8Array): Promise<void> {
    const read = decode(payload);
    assert.equal(read.form, "envelope");
    if (read.form === "envelope") {
      const { kind, id, text, from } = read.envelope;
      this.posted.push({ topic, kind, id, text, from });
    }
    return this.answer(topic);
  }

  ping(): void {
    // no sign of life is asked for in these tests
  }

  end(said: boolean): void {
    this.ended = said;
  }
}

/** A chat whose clock, timers, network and Cognito are the test's. */
class World {
  now = Date.UTC(2026, 0, 1);
  online = true;
  cognito: () => { status: number; body: object } = () => ({ status: 200, body: {} });
  readonly calls: string[] = [];
  readonly transports: FakeTransport[] = [];
  readonly timers: { at: number; then: () => void }[] = [];
  readonly chat: Chat;
  prepare: (transport: FakeTransport) => void = () => undefined;

  constructor() {
    let identity: string | undefined;
    const fetchLike = ((_url: unknown, init: RequestInit) => {
      const operation = new Headers(init.headers).get("X-Amz-Target")?.split(".")[1] ?? "";
      this.calls.push(operation);
      const { status, body } = this.cognito();
      const id = "eu-west-1:00000000-0000-4000-8000-000000000001";
      const keys = { AccessKeyId: "AK", SecretKey: "s", SessionToken: "t", Expiration: (this.now + HOUR) / 1000 };
      const answer = status !== 200 ? body : operation === "GetId" ? { IdentityId: id } : { IdentityId: id, Credentials: keys };
      return Promise.resolve(new Response(JSON.stringify(answer), { status }));
    }) as typeof fetch;
    const memory = { get: () => identity, set: (value: string) => void (identity = value), forget: () => void (identity = undefined) };
    const guest = new Guest("https://cognito.test/", "pool", memory, () => this.now, fetchLike);
    this.chat = new Chat(
      { title: "t", region: "eu-west-1", identityPoolId: "p", gateway: "wss://g.test/mqtt", cognito: "https://c.test/", topicPrefix: "/chat/", rooms: [] },
      {
        guest,
        open: (options, events) => {
          const made = new FakeTransport(options, events);
          this.prepare(made);
          this.transports.push(made);
          return made;
        },
        sign: (credentials) => Promise.resolve(`wss://g.test/mqtt?at=${this.now}&key=${credentials.accessKeyId}`),
        clock: () => this.now,
        random: () => 0.5,
        randomBytes: (bytes) => bytes.fill(7),
        online: () => this.online,
        after: (milliseconds, then) => {
          const timer = { at: this.now + milliseconds, then };
          this.timers.push(timer);
          return () => void this.timers.splice(this.timers.indexOf(timer) >>> 0, 1);
        },
        suffix: "tab1",
      },
      { changed: () => undefined, arrived: () => undefined },
    );
  }

  get last(): FakeTransport {
    const found = this.transports.at(-1);
    assert.ok(found, "no connection was opened");
    return found;
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 30; turn += 1) await Promise.resolve().then(() => new Promise((done) => setImmediate(done)));
  }

  async pass(milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    for (;;) {
      const due = this.timers.filter((timer) => timer.at <= end).sort((one, other) => one.at - other.at)[0];
      if (!due) break;
      this.timers.splice(this.timers.indexOf(due), 1);
      this.now = Math.max(this.now, due.at);
      due.then();
      await this.settle();
    }
    this.now = end;
    await this.settle();
  }

  async signedIn(): Promise<this> {
    this.chat.signIn("Ada");
    this.chat.open("lobby");
    await this.settle();
    this.last.events.connected();
    await this.settle();
    return this;
  }
}

test("connects as its identity with a suffix, says with the will that it left, and announces itself", async () => {
  const world = await new World().signedIn();
  assert.equal(world.last.options.clientId, "eu-west-1:00000000-0000-4000-8000-000000000001-tab1");
  assert.equal(world.last.options.will.topic, "/chat/lobby");
  assert.match(world.chat.sender, /^guest-[0-9a-f]{16}$/);
  assert.deepEqual(world.last.subscribed, ["/chat/lobby"]);
  assert.deepEqual(world.last.posted.map(({ kind }) => kind), ["join"]);
  assert.equal(world.chat.status.phase, "connected");
});

test("what is written before the first login goes out with its sender", async () => {
  const world = new World();
  world.chat.signIn("Ada");
  world.chat.open("lobby");
  world.chat.send("early");
  await world.settle();
  world.last.events.connected();
  await world.settle();
  const early = world.last.posted.find(({ text }) => text === "early");
  assert.match(early?.from ?? "", /^guest-/);
});

test("keeps what is written while offline and sends it once, with a new signature, in order", async () => {
  const world = await new World().signedIn();
  const first = world.last;
  world.online = false;
  world.chat.networkLost();
  world.chat.send("one");
  world.chat.send("two");
  assert.equal(first.ended, false);
  assert.equal(world.chat.status.phase, "offline");
  await world.pass(60_000);
  assert.equal(world.transports.length, 1);
  world.online = true;
  world.chat.retryConnection();
  await world.settle();
  world.last.events.connected();
  await world.settle();
  assert.notEqual(world.last.options.url, first.options.url);
  assert.deepEqual(world.last.posted.filter(({ kind }) => kind === "chat").map(({ text }) => text), ["one", "two"]);
  const entries = world.chat.rooms.get("/chat/lobby")?.timeline.entries ?? [];
  assert.equal(entries.filter(({ type }) => type === "gap").length, 1);
  assert.deepEqual(world.last.posted.filter(({ kind }) => kind === "join").length, 1);
});

test("a message without acknowledgement goes out again under the same id on the next connection", async () => {
  const world = await new World().signedIn();
  world.last.answer = () => new Promise(() => undefined);
  world.chat.send("hello");
  const [sent] = world.last.posted.filter(({ kind }) => kind === "chat");
  world.last.events.ended("gone", undefined);
  assert.equal(world.chat.delivery(sent?.id ?? "")?.state, "sending");
  await world.pass(1_000);
  world.last.events.connected();
  await world.settle();
  assert.deepEqual(world.last.posted.filter(({ kind }) => kind === "chat").map(({ id }) => id), [sent?.id]);
  assert.equal(world.chat.delivery(sent?.id ?? "")?.state, "sent");
});

test("tries again with growing pauses, and takes new credentials after a refused upgrade", async () => {
  const world = new World();
  world.chat.signIn("Ada");
  await world.settle();
  const begun = world.now;
  const tries: number[] = [];
  for (let index = 0; index < 6; index += 1) {
    tries.push(world.now - begun);
    const before = world.transports.length;
    world.last.events.ended("refused", undefined);
    while (world.transports.length === before) await world.pass(250);
  }
  assert.deepEqual(tries, [0, 250, 750, 1_750, 3_750, 7_750]);
  assert.equal(world.calls.filter((call) => call === "GetCredentialsForIdentity").length, 7);
  assert.equal(world.calls.filter((call) => call === "GetId").length, 1);
});

test("renews credentials before they expire, without touching the connection", async () => {
  const world = await new World().signedIn();
  const vended = (): number => world.calls.filter((call) => call === "GetCredentialsForIdentity").length;
  assert.equal(vended(), 1);
  for (let minute = 0; minute < 120; minute += 1) await world.pass(60_000);
  assert.equal(vended(), 3);
  assert.equal(world.transports.length, 1);
});

test("says clearly when the policy refuses the connection, the room or the message", async () => {
  const world = new World();
  world.prepare = (transport) => (transport.refuseRoom = "/chat/secret");
  await world.signedIn();
  world.chat.open("secret");
  await world.settle();
  assert.match(world.chat.rooms.get("/chat/secret")?.problem ?? "", /policy refuses/);
  world.chat.open("lobby");
  world.last.answer = () => Promise.reject(new Refusal("no", NOT_AUTHORISED));
  world.chat.send("hello");
  await world.settle();
  const own = world.chat.rooms.get("/chat/lobby")?.timeline.entries.find((entry) => entry.own);
  assert.match(world.chat.delivery(own?.key ?? "")?.problem ?? "", /policy refuses/);
  world.last.answer = () => Promise.resolve();
  world.chat.retry(own?.key ?? "");
  await world.settle();
  assert.equal(world.chat.delivery(own?.key ?? "")?.state, "sent");
  world.last.events.ended("Not authorized", NOT_AUTHORISED);
  assert.match(world.chat.status.problem, /policy refuses this connection/);
});

test("says so when Cognito lets no guest in, and forgets an identity that is gone", async () => {
  const world = new World();
  world.cognito = () => ({ status: 400, body: { __type: "com.amazonaws#NotAuthorizedException", message: "Unauthenticated access is not supported" } });
  world.chat.signIn("Ada");
  await world.settle();
  assert.match(world.chat.status.problem, /Guests cannot log in: NotAuthorizedException/);
  world.cognito = () => ({ status: 200, body: {} });
  await world.pass(30_000);
  assert.equal(world.transports.length, 1);
});

test("connects anew after the machine has slept", async () => {
  const world = await new World().signedIn();
  await world.pass(4_000);
  world.now += HOUR / 2;
  await world.pass(5_000);
  await world.settle();
  assert.equal(world.transports.length, 2);
});

test("shows its own message once although the gateway echoes it, counts others as unread, and signs out politely", async () => {
  const world = await new World().signedIn();
  const { chat } = world;
  chat.send("mine");
  const echo = new TextEncoder().encode(
    JSON.stringify({ id: world.last.posted.at(-1)?.id, from: chat.sender, name: "Ada", kind: "chat", text: "mine", sent: "2026-01-01T00:00:00Z" }),
  );
  world.last.events.message("/chat/lobby", echo);
  assert.equal(chat.rooms.get("/chat/lobby")?.timeline.entries.length, 1);
  chat.close();
  world.last.events.message("/chat/lobby", new TextEncoder().encode("<img src=x onerror=alert(1)>"));
  world.last.events.message("/chat/unknown", new TextEncoder().encode("x"));
  world.last.events.message("/chat/lobby", new Uint8Array([0xff]));
  assert.equal(chat.unread, 1);
  chat.open("lobby");
  assert.equal(chat.unread, 0);
  const transport = world.last;
  chat.signOut();
  assert.equal(transport.ended, true);
  assert.equal(transport.posted.at(-1)?.kind, "leave");
  assert.equal(chat.status.phase, "closed");
});

test("joins at most as many rooms as AWS IoT allows subscriptions", async () => {
  const world = await new World().signedIn();
  for (let index = 1; index < 50; index += 1) assert.equal(world.chat.open(`room${index}`), undefined);
  assert.match(world.chat.open("one-more") ?? "", /50/);
});

test("signs by AWS's clock where this machine's is wrong, and keeps credentials for as long as they live", async () => {
  const right = Date.UTC(2026, 0, 1);
  for (const ahead of [-3 * HOUR, 3 * HOUR, 30_000]) {
    let now = right + ahead;
    let calls = 0;
    const answer = (_url: unknown, init: RequestInit): Promise<Response> => {
      calls += 1;
      const keys = { AccessKeyId: "AK", SecretKey: "s", SessionToken: "t", Expiration: (right + HOUR) / 1000 };
      const isId = new Headers(init.headers).get("X-Amz-Target")?.endsWith("GetId");
      const body = isId ? { IdentityId: "i" } : { IdentityId: "i", Credentials: keys };
      return Promise.resolve(new Response(JSON.stringify(body), { headers: { Date: new Date(right).toUTCString() } }));
    };
    const memory = { get: () => undefined, set: () => undefined, forget: () => undefined };
    const guest = new Guest("https://cognito.test/", "pool", memory, () => now, answer as typeof fetch);
    await guest.credentials();
    assert.equal(guest.now(), Math.abs(ahead) > 60_000 ? right : now);
    const before = calls;
    now += HOUR / 2;
    await guest.credentials();
    assert.equal(calls, before);
    now += HOUR / 2;
    await guest.credentials();
    assert.ok(calls > before);
  }
});
