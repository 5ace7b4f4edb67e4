// Rooms: MQTT topics under the environment's prefix, within AWS IoT Core's limits (as chatops/chat/rooms.py).

export const MAX_TOPIC_BYTES = 256;
export const MAX_TOPIC_SLASHES = 7;
/** AWS IoT's limit for a payload, in bytes. */
export const MAX_PAYLOAD_BYTES = 128 * 1024;
/** Subscriptions that AWS IoT allows a connection. */
export const MAX_ROOMS = 50;

export interface Room {
  topic: string;
  name: string;
}

export type Parsed = { room: Room } | { problem: string };

/** Reads a room as people write it: a whole topic (`/chat/lobby`) or what follows the prefix (`lobby`). */
export function parseRoom(text: string, prefix: string): Parsed {
  if (text === "") return { problem: "The room needs a name." };
  const topic = text.startsWith("/") || text.startsWith("$") || text.startsWith(prefix) ? text : prefix + text;
  if (!topic.startsWith(prefix)) return { problem: `Rooms lie under ${prefix}: write a name such as lobby.` };
  if (/[+#]/.test(topic)) return { problem: "A room's name has no + and no #." };
  if (/[\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef\ufffe\uffff]|[\ud800-\udfff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(topic)) {
    return { problem: "The room's name has a character that cannot be sent." };
  }
  if (new TextEncoder().encode(topic).length > MAX_TOPIC_BYTES) return { problem: `With ${prefix}, a room's name takes at most ${MAX_TOPIC_BYTES} bytes.` };
  if (topic.split("/").length - 1 > MAX_TOPIC_SLASHES) return { problem: `A room takes at most ${MAX_TOPIC_SLASHES} slashes, ${prefix} included.` };
  const name = topic.slice(prefix.length);
  if (name.replaceAll("/", "") === "") return { problem: "The room needs a name." };
  return { room: { topic, name } };
}

/** The page's address for a room: `#/chat/games/chess`. */
export function linkOf(topic: string): string {
  return `#${topic.split("/").map(encodeURIComponent).join("/")}`;
}

/** The room in the page's address; undefined when there is none, or one that cannot be. */
export function roomOf(hash: string, prefix: string): Room | undefined {
  if (hash.length < 2) return undefined;
  let text: string;
  try {
    text = decodeURIComponent(hash.slice(1));
  } catch {
    return undefined;
  }
  const parsed = parseRoom(text, prefix);
  return "room" in parsed ? parsed.room : undefined;
}
