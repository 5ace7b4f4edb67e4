// What this browser keeps of a guest between visits. Storage may be full, forbidden or edited: then it is a new guest.

export interface Remembered {
  identityId?: string;
  name: string;
  rooms: string[];
  signedIn: boolean;
}

export class Memory {
  readonly #key: string;
  #value: Remembered;

  constructor(
    poolId: string,
    private readonly storage: Pick<Storage, "getItem" | "setItem"> | undefined,
  ) {
    this.#key = `chatops:${poolId}`;
    this.#value = this.#read() ?? { name: "", rooms: [], signedIn: false };
  }

  get value(): Remembered {
    return this.#value;
  }

  update(change: Partial<Remembered>): void {
    // Another tab may have written meanwhile: start from what is there, so that all tabs are one guest.
    this.#value = { ...(this.#read() ?? this.#value), ...change };
    try {
      this.storage?.setItem(this.#key, JSON.stringify(this.#value));
    } catch {
      // full or forbidden: this visit remembers, the next one does not
    }
  }

  forgetIdentity(): void {
    const { name, rooms, signedIn } = this.#value;
    this.#value = { name, rooms, signedIn };
    try {
      this.storage?.setItem(this.#key, JSON.stringify(this.#value));
    } catch {
      // as above
    }
  }

  /** The identity, as any tab has stored it. */
  identity(): string | undefined {
    return (this.#read() ?? this.#value).identityId;
  }

  #read(): Remembered | undefined {
    let found: unknown;
    try {
      found = JSON.parse(this.storage?.getItem(this.#key) ?? "null");
    } catch {
      return undefined;
    }
    if (typeof found !== "object" || found === null) return undefined;
    const values = found as Record<string, unknown>;
    const { identityId, name, rooms, signedIn } = values;
    return {
      ...(typeof identityId === "string" && /^[\w-]+:[0-9a-f-]{1,55}$/.test(identityId) ? { identityId } : {}),
      name: typeof name === "string" ? name : "",
      rooms: Array.isArray(rooms) ? rooms.filter((room): room is string => typeof room === "string").slice(0, 50) : [],
      signedIn: signedIn === true,
    };
  }
}
