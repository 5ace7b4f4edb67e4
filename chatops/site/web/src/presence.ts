// Who is in a room, as far as this page has heard: joins and messages bring people in, leaves take them out, and who
// has not been heard for long is forgotten.

const FORGET_MS = 30 * 60_000;
const MOST = 500;

export interface Person {
  identity: string;
  name: string;
  heard: number;
}

export class Presence {
  readonly #people = new Map<string, Person>();

  heard(identity: string, name: string, now: number): void {
    this.#people.delete(identity);
    this.#people.set(identity, { identity, name, heard: now });
    if (this.#people.size > MOST) {
      const oldest = this.#people.keys().next().value;
      if (oldest !== undefined) this.#people.delete(oldest);
    }
  }

  left(identity: string): void {
    this.#people.delete(identity);
  }

  /** Everybody, by name. */
  people(now: number): Person[] {
    for (const person of [...this.#people.values()]) if (now - person.heard > FORGET_MS) this.#people.delete(person.identity);
    return [...this.#people.values()].sort((one, other) => one.name.localeCompare(other.name) || one.identity.localeCompare(other.identity));
  }
}
