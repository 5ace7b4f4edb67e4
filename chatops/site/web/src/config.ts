// config.json: what this page needs to know of its environment. `chatops site build` writes it.

export interface Config {
  title: string;
  region: string;
  identityPoolId: string;
  /** The gateway's WebSocket address. */
  gateway: string;
  /** Cognito's address. */
  cognito: string;
  topicPrefix: string;
  rooms: string[];
}

export function parseConfig(document: unknown): Config {
  const values = (typeof document === "object" && document !== null ? document : {}) as Record<string, unknown>;
  const text = (key: string): string => {
    const value = values[key];
    if (typeof value !== "string" || value === "") throw new Error(`config.json lacks "${key}"`);
    return value;
  };
  const address = (key: string, ...protocols: string[]): string => {
    const value = text(key);
    if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) throw new Error(`config.json has no address in "${key}"`);
    return value;
  };
  const rooms = values["rooms"];
  return {
    title: text("title"),
    region: text("region"),
    identityPoolId: text("identityPoolId"),
    gateway: address("gateway", "ws:", "wss:"),
    cognito: address("cognito", "http:", "https:"),
    topicPrefix: text("topicPrefix"),
    rooms: Array.isArray(rooms) ? rooms.filter((room): room is string => typeof room === "string") : [],
  };
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch("config.json", { cache: "no-cache" });
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  return parseConfig(await response.json());
}
