// What this guest has written, until the gateway has acknowledged it: kept while offline, sent once per connection,
// under one id however often it is tried.

export type Delivery = "sending" | "sent" | "failed";

export interface Outgoing {
  id: string;
  topic: string;
  /** Written when it goes out: what is said before the first login does not know its sender yet. */
  payload: () => Uint8Array;
  state: Delivery;
  /** Why it failed, for people. */
  problem: string;
}

/** Acknowledged messages whose state the page still shows. */
const REMEMBERED = 500;
/** AWS IoT takes 100 unacknowledged messages a connection. */
const IN_FLIGHT = 50;

export class Outbox {
  readonly #messages = new Map<string, Outgoing>();
  readonly #inFlight = new Set<string>();

  add(id: string, topic: string, payload: () => Uint8Array): Outgoing {
    const known = this.#messages.get(id);
    if (known) return known;
    const message: Outgoing = { id, topic, payload, state: "sending", problem: "" };
    this.#messages.set(id, message);
    return message;
  }

  get(id: string): Outgoing | undefined {
    return this.#messages.get(id);
  }

  /** Takes what should go out now, oldest first; each is in flight until `settle` or `lost`. */
  take(): Outgoing[] {
    const due: Outgoing[] = [];
    for (const message of this.#messages.values()) {
      if (this.#inFlight.size >= IN_FLIGHT) break;
      if (message.state !== "sending" || this.#inFlight.has(message.id)) continue;
      this.#inFlight.add(message.id);
      due.push(message);
    }
    return due;
  }

  sent(id: string): void {
    this.#settle(id, "sent", "");
    const done = [...this.#messages.values()].filter((message) => message.state === "sent");
    for (const message of done.slice(0, -REMEMBERED)) this.#messages.delete(message.id);
  }

  failed(id: string, problem: string): void {
    if (this.#messages.get(id)?.state === "sending") this.#settle(id, "failed", problem);
  }

  retry(id: string): void {
    if (this.#messages.get(id)?.state === "failed") this.#settle(id, "sending", "");
  }

  /** The connection is gone: whatever was in flight goes out again on the next one. */
  lost(): void {
    this.#inFlight.clear();
  }

  clear(): void {
    this.#messages.clear();
    this.#inFlight.clear();
  }

  #settle(id: string, state: Delivery, problem: string): void {
    this.#inFlight.delete(id);
    const message = this.#messages.get(id);
    if (!message) return;
    message.state = state;
    message.problem = problem;
  }
}
