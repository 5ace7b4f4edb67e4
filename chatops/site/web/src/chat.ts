// The chat as this guest has it: rooms, messages, people, what is unread and what is on its way. No page in here.
import type { Config } from "./config";
import { Connection, type Outage, type Status, type Surroundings } from "./connection";
import { decode, encode, MessageIds, type Envelope, type Kind } from "./envelope";
import { measure, type Measure } from "./meter";
import { Outbox, type Outgoing } from "./outbox";
import { Presence } from "./presence";
import { senderOf } from "./sender";
import { MAX_ROOMS, parseRoom, type Room } from "./rooms";
import { shownName, shownText } from "./text";
import { Timeline, type Entry } from "./timeline";

export interface JoinedRoom {
  room: Room;
  timeline: Timeline;
  presence: Presence;
  /** Why nothing can come from it; empty when all is well. */
  problem: string;
  announced: boolean;
}

export interface Listener {
  /** Something has changed; called often, to be drawn once a frame. */
  changed(): void;
  /** Somebody else has said something in a room. */
  arrived(room: JoinedRoom, entry: Entry): void;
}

export class Chat {
  readonly rooms = new Map<string, JoinedRoom>();
  status: Status = { phase: "closed", problem: "" };
  /** What this guest's messages say in `from`; empty before the first login. */
  sender = "";
  name = "";
  /** The topic of the room that is shown, or undefined. */
  current: string | undefined;
  /** Whether the end of the shown room is in view of somebody. */
  watching = true;

  readonly #outbox = new Outbox();
  readonly #connection: Connection;
  readonly #ids: MessageIds;

  constructor(
    readonly config: Config,
    private readonly around: Surroundings & { randomBytes(bytes: Uint8Array): Uint8Array },
    private readonly listener: Listener,
  ) {
    this.#ids = new MessageIds(() => around.clock(), (bytes) => around.randomBytes(bytes));
    this.#connection = new Connection(around, this.#outbox, {
      status: (status) => {
        this.status = status;
        listener.changed();
      },
      connected: (_credentials, outage) => {
        this.#connected(outage);
      },
      message: (topic, payload) => {
        this.#message(topic, payload);
      },
      roomRefused: (topic, problem) => {
        const joined = this.rooms.get(topic);
        if (joined) joined.problem = problem;
        listener.changed();
      },
      settled: () => {
        listener.changed();
      },
      will: (credentials) => {
        this.sender = senderOf(credentials.identityId);
        const topic = this.current ?? [...this.rooms.keys()][0] ?? `${config.topicPrefix}lobby`;
        return { topic, payload: encode(this.#envelope("leave", "")) };
      },
    });
  }

  signIn(name: string): void {
    this.name = shownName(name);
    this.#connection.start();
  }

  signOut(): void {
    for (const topic of this.rooms.keys()) this.#announce(topic, "leave");
    this.#connection.stop();
    this.#outbox.clear();
    this.rooms.clear();
    this.current = undefined;
    this.listener.changed();
  }

  /** Joins a room and shows it; says what is wrong when it cannot. */
  open(text: string): string | undefined {
    const parsed = parseRoom(text, this.config.topicPrefix);
    if ("problem" in parsed) return parsed.problem;
    const { room } = parsed;
    if (!this.rooms.has(room.topic)) {
      if (this.rooms.size >= MAX_ROOMS) return `AWS IoT allows ${MAX_ROOMS} rooms at once: leave one first.`;
      this.rooms.set(room.topic, { room, timeline: new Timeline(), presence: new Presence(), problem: "", announced: false });
      this.#connection.join(room.topic);
      this.#announce(room.topic, "join");
    }
    this.current = room.topic;
    this.rooms.get(room.topic)?.timeline.read();
    this.listener.changed();
    return undefined;
  }

  /** Back to the list of rooms; the room stays joined. */
  close(): void {
    if (this.current !== undefined) this.rooms.get(this.current)?.timeline.forgetMarker();
    this.current = undefined;
    this.listener.changed();
  }

  leave(topic: string): void {
    this.#announce(topic, "leave");
    this.#connection.leave(topic);
    this.rooms.delete(topic);
    if (this.current === topic) this.current = undefined;
    this.listener.changed();
  }

  send(text: string): void {
    const joined = this.current === undefined ? undefined : this.rooms.get(this.current);
    if (!joined || text.trim() === "") return;
    const envelope = this.#envelope("chat", text);
    this.#outbox.add(envelope.id, joined.room.topic, () => encode({ ...envelope, from: this.sender }));
    joined.timeline.forgetMarker();
    joined.timeline.add(this.#entry(envelope, true));
    this.#connection.flush();
    this.listener.changed();
  }

  retry(id: string): void {
    this.#outbox.retry(id);
    this.#connection.flush();
    this.listener.changed();
  }

  delivery(id: string): Outgoing | undefined {
    return this.#outbox.get(id);
  }

  measure(text: string): Measure {
    return measure({ ...this.#envelope("chat", text), id: "0".repeat(26) });
  }

  retryConnection(): void {
    this.#connection.retryNow();
  }

  networkLost(): void {
    this.#connection.networkLost();
  }

  check(): void {
    this.#connection.check();
  }

  /** Unread messages of all rooms. */
  get unread(): number {
    return [...this.rooms.values()].reduce((sum, joined) => sum + joined.timeline.unread, 0);
  }

  #connected(outage: Outage | undefined): void {
    for (const joined of this.rooms.values()) {
      if (outage) {
        joined.timeline.add({ key: joined.timeline.newKey(), type: "gap", from: "", name: "", text: "", at: outage.from, own: false });
        // whoever was told that this guest has gone is told that it is back
        joined.announced = false;
      }
      if (!joined.announced) this.#announce(joined.room.topic, "join");
    }
    this.listener.changed();
  }

  #announce(topic: string, kind: "join" | "leave"): void {
    const joined = this.rooms.get(topic);
    if (!joined || joined.problem !== "" || this.status.phase !== "connected") return;
    joined.announced = kind === "join";
    const envelope = this.#envelope(kind, "");
    this.#outbox.add(envelope.id, topic, () => encode(envelope));
    this.#connection.flush();
  }

  #envelope(kind: Kind, text: string): Envelope {
    return { id: this.#ids.next(), from: this.sender, name: this.name, kind, text, sent: this.around.clock() };
  }

  #message(topic: string, payload: Uint8Array): void {
    const joined = this.rooms.get(topic);
    if (!joined) return;
    const { timeline, presence } = joined;
    const now = this.around.clock();
    const read = decode(payload);
    let entry: Entry;
    if (read.form === "envelope") {
      const { envelope } = read;
      entry = this.#entry(envelope, envelope.from === this.sender);
      if (envelope.kind === "leave") presence.left(envelope.from);
      else if (envelope.kind !== "system") presence.heard(envelope.from, shownName(envelope.name), now);
    } else {
      const text = read.form === "text" ? shownText(read.text) : `${read.bytes} bytes that are not text`;
      entry = { key: timeline.newKey(), type: read.form === "text" ? "plain" : "system", from: "", name: "", text, at: now, own: false };
    }
    if (!timeline.add(entry)) return;
    const looking = this.current === topic && this.watching;
    if (!entry.own && !looking && (entry.type === "chat" || entry.type === "plain")) {
      timeline.markUnread(entry);
      this.listener.arrived(joined, entry);
    }
    this.listener.changed();
  }

  #entry(envelope: Envelope, own: boolean): Entry {
    const name = shownName(envelope.name);
    const who = name || "A guest";
    const text = { chat: shownText(envelope.text), system: `${who}: ${shownText(envelope.text)}`, join: `${who} joined`, leave: `${who} left` }[envelope.kind];
    return { key: envelope.id, type: envelope.kind === "chat" ? "chat" : "system", from: envelope.from, name, text, at: this.around.clock(), own };
  }
}
