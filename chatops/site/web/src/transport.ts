// MQTT 5 over a WebSocket with MQTT.js: one connection that lives once. Whoever wants another makes another, with a
// fresh signature (see connection.ts).
import MqttClient from "mqtt/lib/client";
import type { IClientOptions, MqttClient as Client } from "mqtt";
import { Duplex } from "readable-stream";
import { Refusal, type Transport, type TransportEvents, type TransportOptions } from "./gateway";

/** Half a minute is AWS IoT's least; browsers slow timers of hidden pages to one a minute, which this survives. */
const KEEP_ALIVE_S = 60;

export function openTransport(options: TransportOptions, events: TransportEvents): Transport {
  let ended = false;
  let reasonCode: number | undefined;
  let problem = "the connection was lost";
  const settings: IClientOptions = {
    protocolVersion: 5,
    clientId: options.clientId,
    clean: true,
    keepalive: KEEP_ALIVE_S,
    timerVariant: "native",
    reconnectPeriod: 0,
    connectTimeout: options.connectTimeoutMs,
    queueQoSZero: false,
    resubscribe: false,
    will: { topic: options.will.topic, payload: options.will.payload as never, qos: 1, retain: false },
    properties: { requestProblemInformation: true },
  };
  const client: Client = new MqttClient(() => socketStream(options.url) as never, settings) as unknown as Client;
  const finish = (): void => {
    if (ended) return;
    ended = true;
    client.end(true);
    events.ended(problem, reasonCode);
  };
  client.on("connect", () => events.connected());
  client.on("message", (topic, payload) => events.message(topic, payload));
  client.on("disconnect", (packet) => {
    reasonCode = packet.reasonCode;
    problem = packet.properties?.reasonString ?? "the gateway ended the connection";
    finish();
  });
  client.on("error", (error) => {
    reasonCode ??= codeOf(error);
    problem = error.message;
    finish();
  });
  client.on("close", finish);
  return {
    async subscribe(topic) {
      const granted = await settled(client.subscribeAsync(topic, { qos: 0 }));
      const code = granted[0]?.qos;
      if (code !== undefined && code >= 0x80) throw new Refusal("the subscription was refused", code);
    },
    async unsubscribe(topic) {
      await settled(client.unsubscribeAsync(topic));
    },
    async publish(topic, payload) {
      await settled(client.publishAsync(topic, payload as never, { qos: 1 }));
    },
    ping() {
      if (client.connected) client.sendPing();
    },
    end(said) {
      if (ended) return;
      ended = true;
      client.end(!said);
    },
  };
}

async function settled<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error), codeOf(error));
  }
}

function codeOf(error: unknown): number | undefined {
  const { code, packet } = error as { code?: unknown; packet?: { granted?: unknown[] } };
  const found = code ?? packet?.granted?.[0]; // a SUBACK's codes come with its packet
  return typeof found === "number" ? found : undefined;
}

function socketStream(url: string): Duplex {
  const socket = new WebSocket(url, ["mqtt"]);
  socket.binaryType = "arraybuffer";
  let waiting: (() => void) | undefined;
  const stream = new Duplex({
    read() {
      // Data is pushed as it comes: MQTT.js reads at once.
    },
    write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void) {
      const send = (): void => {
        if (socket.readyState !== WebSocket.OPEN) return done(new Error("the connection is closed"));
        socket.send(new Uint8Array(chunk));
        done();
      };
      if (socket.readyState === WebSocket.CONNECTING) waiting = send;
      else send();
    },
    final(done: () => void) {
      socket.close();
      done();
    },
    destroy(error: Error | null, done: (error: Error | null) => void) {
      socket.close();
      done(error);
    },
  });
  socket.addEventListener("open", () => waiting?.());
  socket.addEventListener("message", (event: MessageEvent<ArrayBuffer>) => {
    if (!stream.destroyed) stream.push(Buffer.from(event.data));
  });
  socket.addEventListener("close", () => stream.destroy());
  return stream;
}
