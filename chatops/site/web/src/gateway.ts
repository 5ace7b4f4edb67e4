// What the page needs of a connection to the gateway; transport.ts makes one with MQTT.js.

export interface TransportOptions {
  url: string;
  clientId: string;
  will: { topic: string; payload: Uint8Array };
  connectTimeoutMs: number;
}

export interface TransportEvents {
  connected(): void;
  message(topic: string, payload: Uint8Array): void;
  /** The connection has ended, or never came up; `reasonCode` is MQTT's, where the gateway gave one. */
  ended(problem: string, reasonCode: number | undefined): void;
}

export interface Transport {
  /** Subscribes; rejects with a `Refusal` when the gateway refuses. */
  subscribe(topic: string): Promise<void>;
  unsubscribe(topic: string): Promise<void>;
  /** Publishes at QoS 1; settles with the gateway's acknowledgement. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
  /** Asks the gateway for a sign of life; without one the connection ends. */
  ping(): void;
  /** Ends the connection; `said` when a goodbye may still be sent. */
  end(said: boolean): void;
}

export class Refusal extends Error {
  constructor(
    message: string,
    readonly reasonCode: number | undefined,
  ) {
    super(message);
  }
}

export const NOT_AUTHORISED = 0x87;

export type OpenTransport = (options: TransportOptions, events: TransportEvents) => Transport;
