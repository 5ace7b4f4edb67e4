// Anonymous guests of a Cognito identity pool: two unsigned calls. Every GetId makes an identity for good, so that a
// browser keeps its own.
import type { Keys } from "./signing";

export interface GuestCredentials extends Keys {
  identityId: string;
  /** Milliseconds since the epoch, by this machine's clock. */
  expiresAt: number;
}

export class CognitoError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface IdentityMemory {
  get(): string | undefined;
  set(identityId: string): void;
  forget(): void;
}

/** Credentials are replaced this long before they expire, the margin of AWS's own SDKs. */
export const MARGIN_MS = 5 * 60_000;
const TIMEOUT_MS = 15_000;
/** Cognito tells the time in whole seconds; AWS refuses signatures that are more than five minutes off. */
const SKEW_MS = 60_000;

export class Guest {
  #ahead = 0;
  #credentials: GuestCredentials | undefined;
  #pending: Promise<GuestCredentials> | undefined;

  constructor(
    private readonly endpoint: string,
    private readonly poolId: string,
    private readonly memory: IdentityMemory,
    private readonly clock: () => number,
    private readonly request: typeof fetch,
  ) {}

  /** Credentials that stay valid for a while; the same ones until shortly before they expire. */
  async credentials(): Promise<GuestCredentials> {
    if (this.#credentials && this.#credentials.expiresAt - MARGIN_MS > this.clock()) return this.#credentials;
    this.#pending ??= this.#vend().finally(() => (this.#pending = undefined));
    return this.#pending;
  }

  /** The time for signatures: AWS's, where this machine's clock is wrong. */
  now(): number {
    return this.clock() + this.#ahead;
  }

  /** The gateway refused them: take new ones next time. */
  discard(): void {
    this.#credentials = undefined;
  }

  async #vend(): Promise<GuestCredentials> {
    const known = this.memory.get();
    if (known !== undefined) {
      try {
        return await this.#credentialsOf(known);
      } catch (error) {
        if (!(error instanceof CognitoError) || error.code !== "ResourceNotFoundException") throw error;
        this.memory.forget();
      }
    }
    const answer = await this.#call("GetId", { IdentityPoolId: this.poolId });
    const identityId = textOf(answer, "IdentityId");
    this.memory.set(identityId);
    return this.#credentialsOf(identityId);
  }

  async #credentialsOf(identityId: string): Promise<GuestCredentials> {
    const answer = await this.#call("GetCredentialsForIdentity", { IdentityId: identityId });
    const found = answer["Credentials"];
    const fields = (typeof found === "object" && found !== null ? found : {}) as Record<string, unknown>;
    const expiration = fields["Expiration"];
    this.#credentials = {
      identityId: textOf(answer, "IdentityId"),
      accessKeyId: textOf(fields, "AccessKeyId"),
      secretAccessKey: textOf(fields, "SecretKey"),
      sessionToken: textOf(fields, "SessionToken"),
      expiresAt: typeof expiration === "number" ? expiration * 1000 - this.#ahead : this.clock() + 3_600_000,
    };
    return this.#credentials;
  }

  async #call(operation: string, body: object): Promise<Record<string, unknown>> {
    const response = await this.request(this.endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": `AWSCognitoIdentityService.${operation}` },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const ahead = Date.parse(response.headers.get("Date") ?? "") - this.clock();
    if (!Number.isNaN(ahead)) this.#ahead = Math.abs(ahead) > SKEW_MS ? ahead : 0;
    const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    if (response.ok) return answer;
    const code = String(answer["__type"] ?? response.status).replace(/^.*#/, "").replace(/:.*$/, "");
    throw new CognitoError(code, `${code}: ${String(answer["message"] ?? answer["Message"] ?? "")}`);
  }
}

function textOf(fields: Record<string, unknown>, key: string): string {
  const value = fields[key];
  if (typeof value !== "string" || value === "") throw new CognitoError("BadAnswer", `Cognito's answer lacks ${key}`);
  return value;
}
