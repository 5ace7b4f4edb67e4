// Staying connected: signs, connects, subscribes, and after a loss waits with full jitter and starts anew with a fresh
// signature. Knows nothing of the page; its clock, its timers and its transport are given to it.
import { backoff, LONGEST_MS } from "./backoff";
import { CognitoError, MARGIN_MS, type Guest, type GuestCredentials } from "./guest";
import type { Outbox } from "./outbox";
import { NOT_AUTHORISED, Refusal, type OpenTransport, type Transport } from "./gateway";

export type Phase = "offline" | "connecting" | "connected" | "waiting" | "closed";

export interface Status {
  phase: Phase;
  /** What is wrong, for people; empty when nothing is. */
  problem: string;
}

export interface Surroundings {
  guest: Guest;
  open: OpenTransport;
  sign(credentials: GuestCredentials): Promise<string>;
  clock(): number;
  random(): number;
  online(): boolean;
  after(milliseconds: number, then: () => void): () => void;
  /** Sets this connection apart from those of other tabs. */
  suffix: string;
}

export interface Listener {
  status(status: Status): void;
  /** Every wanted room is subscribed to; `outage` when a connection was lost before this one. */
  connected(credentials: GuestCredentials, outage: Outage | undefined): void;
  message(topic: string, payload: Uint8Array): void;
  roomRefused(topic: string, problem: string): void;
  /** A message of the outbox has another state. */
  settled(id: string): void;
  will(credentials: GuestCredentials): { topic: string; payload: Uint8Array };
}

export interface Outage {
  from: number;
  to: number;
}

const CONNECT_TIMEOUT_MS = 15_000;
const TICK_MS = 5_000;
/** A clock that jumps by this much means that the machine slept longer than the gateway waits for a sign of life. */
const SLEPT_MS = 60_000;
const REFUSED = "The operator's policy refuses";

export class Connection {
  readonly #rooms = new Set<string>();
  #transport: Transport | undefined;
  #attempt = 0;
  #failures = 0;
  #refused = false;
  #lostAt: number | undefined;
  #up = false;
  #cancelRetry: (() => void) | undefined;
  #cancelRefresh: (() => void) | undefined;
  #cancelTick: (() => void) | undefined;
  #status: Status = { phase: "closed", problem: "" };

  constructor(
    private readonly around: Surroundings,
    private readonly outbox: Outbox,
    private readonly listener: Listener,
  ) {}

  get status(): Status {
    return this.#status;
  }

  start(): void {
    if (this.#status.phase !== "closed") return;
    this.#watchClock(this.around.clock());
    this.#connect();
  }

  /** Ends for good; the gateway is told, so that it does not speak the will. */
  stop(): void {
    this.#drop(true);
    this.#cancelTick?.();
    this.#cancelRefresh?.();
    this.#failures = 0;
    this.#lostAt = undefined;
    this.#rooms.clear();
    this.#tell("closed", "");
  }

  /** The network is back, or somebody asks: try now. */
  retryNow(): void {
    if (this.#status.phase === "waiting" || this.#status.phase === "offline") this.#connect();
  }

  networkLost(): void {
    if (this.#status.phase === "closed") return;
    this.#drop(false);
    this.#tell("offline", "This device is offline.");
  }

  /** The page is looked at again: find out soon whether the connection still lives. */
  check(): void {
    this.#transport?.ping();
    this.retryNow();
  }

  join(topic: string): void {
    if (this.#rooms.has(topic)) return;
    this.#rooms.add(topic);
    if (this.#up && this.#transport) void this.#subscribe(this.#transport, topic);
  }

  leave(topic: string): void {
    this.#rooms.delete(topic);
    if (this.#up) this.#transport?.unsubscribe(topic).catch(() => undefined); // a lost connection has left as well
  }

  /** Sends what waits in the outbox, when there is a connection. */
  flush(): void {
    const transport = this.#transport;
    if (!this.#up || !transport) return;
    for (const message of this.outbox.take()) {
      transport.publish(message.topic, message.payload()).then(
        () => {
          this.outbox.sent(message.id);
          this.listener.settled(message.id);
          this.flush();
        },
        (error: unknown) => {
          if (this.#transport !== transport) return; // lost with the connection: goes out on the next
          const code = error instanceof Refusal ? error.reasonCode : undefined;
          if (code === undefined || code < 0x80) return this.#lost(transport, "The gateway did not answer.", undefined);
          this.outbox.failed(message.id, code === NOT_AUTHORISED ? `${REFUSED} posting here.` : problemOf(error));
          this.listener.settled(message.id);
          this.flush();
        },
      );
    }
  }

  #connect(): void {
    this.#drop(false);
    if (!this.around.online()) return this.#tell("offline", "This device is offline.");
    this.#tell("connecting", this.#status.problem);
    this.#attempt += 1;
    this.#open(this.#attempt).catch((error: unknown) => {
      this.#failed(error);
    });
  }

  async #open(attempt: number): Promise<void> {
    const credentials = await this.around.guest.credentials();
    const url = await this.around.sign(credentials);
    if (attempt !== this.#attempt || this.#status.phase !== "connecting") return;
    const transport = this.around.open(
      { url, clientId: `${credentials.identityId}-${this.around.suffix}`, will: this.listener.will(credentials), connectTimeoutMs: CONNECT_TIMEOUT_MS },
      {
        connected: () => {
          if (this.#transport === transport) void this.#ready(transport, credentials);
        },
        message: (topic, payload) => {
          if (this.#transport === transport) this.listener.message(topic, payload);
        },
        ended: (problem, code) => {
          this.#lost(transport, problem, code);
        },
      },
    );
    this.#transport = transport;
  }

  async #ready(transport: Transport, credentials: GuestCredentials): Promise<void> {
    // eight at a time is AWS's limit a packet; one a packet tells which one is refused
    await Promise.all([...this.#rooms].map((topic) => this.#subscribe(transport, topic)));
    if (this.#transport !== transport) return;
    const outage = this.#lostAt === undefined ? undefined : { from: this.#lostAt, to: this.around.clock() };
    this.#up = true;
    this.#failures = 0;
    this.#refused = false;
    this.#lostAt = undefined;
    this.#refreshBefore(credentials.expiresAt);
    this.#tell("connected", "");
    this.listener.connected(credentials, outage);
    this.flush();
  }

  async #subscribe(transport: Transport, topic: string): Promise<void> {
    try {
      await transport.subscribe(topic);
    } catch (error) {
      if (this.#transport !== transport || !(error instanceof Refusal) || error.reasonCode === undefined) return;
      this.#rooms.delete(topic);
      this.listener.roomRefused(topic, error.reasonCode === NOT_AUTHORISED ? `${REFUSED} this room.` : problemOf(error));
    }
  }

  #lost(transport: Transport, problem: string, code: number | undefined): void {
    if (this.#transport !== transport) return;
    // A refused upgrade is told to a page as nothing but a closed socket: it may be the credentials.
    if (!this.#up) this.around.guest.discard();
    const wasUp = this.#up;
    this.#drop(false);
    this.#refused = code === NOT_AUTHORISED;
    if (this.#refused) this.#retry(LONGEST_MS, `${REFUSED} this connection${problem ? ` (${problem})` : ""}.`);
    else if (!this.around.online()) this.#tell("offline", "This device is offline.");
    else this.#retry(this.#delay(), wasUp ? "The connection was lost." : "The gateway cannot be reached.");
  }

  #failed(error: unknown): void {
    if (this.#status.phase !== "connecting") return;
    const refused = error instanceof CognitoError && /NotAuthorized|ResourceNotFound|InvalidIdentityPool/.test(error.code);
    if (refused) return this.#retry(LONGEST_MS, `Guests cannot log in: ${error.message}`);
    if (!this.around.online()) return this.#tell("offline", "This device is offline.");
    this.#retry(this.#delay(), error instanceof CognitoError ? `Logging in failed: ${error.message}` : "The login service cannot be reached.");
  }

  #delay(): number {
    const delay = backoff(this.#failures, () => this.around.random());
    this.#failures += 1;
    return delay;
  }

  #retry(delay: number, problem: string): void {
    this.#cancelRetry?.();
    this.#cancelRetry = this.around.after(delay, () => {
      this.#connect();
    });
    this.#tell("waiting", problem);
  }

  #drop(said: boolean): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    if (this.#up) this.#lostAt ??= this.around.clock();
    this.#up = false;
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.end(said);
    this.outbox.lost();
  }

  /** New credentials before the old ones expire, so that a reconnect never waits for them. */
  #refreshBefore(expiresAt: number): void {
    this.#cancelRefresh?.();
    this.#cancelRefresh = this.around.after(Math.max(1_000, expiresAt - MARGIN_MS - this.around.clock() + 1_000), () => {
      this.around.guest.credentials().then(
        (fresh) => {
          this.#refreshBefore(fresh.expiresAt);
        },
        () => {
          this.#refreshBefore(this.around.clock() + MARGIN_MS + LONGEST_MS);
        },
      );
    });
  }

  #watchClock(before: number): void {
    this.#cancelTick = this.around.after(TICK_MS, () => {
      const now = this.around.clock();
      if (now - before > TICK_MS + SLEPT_MS && this.#up) {
        this.#lostAt = before;
        this.#connect();
      }
      this.#watchClock(now);
    });
  }

  #tell(phase: Phase, problem: string): void {
    this.#status = { phase, problem };
    this.listener.status(this.#status);
  }
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
