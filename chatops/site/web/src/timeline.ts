// One room's messages: bounded, each id once, with what the page needs to group them.

export interface Entry {
  /** Unique in the room and stable: the key of its element. */
  key: string;
  type: "chat" | "plain" | "system" | "gap";
  from: string;
  name: string;
  text: string;
  /** Milliseconds since the epoch, by this page's clock. */
  at: number;
  own: boolean;
}

export interface Grouping {
  startsDay: boolean;
  startsGroup: boolean;
}

/** How many messages a room keeps; older ones go. */
export const KEPT = 2_000;
const GROUP_MS = 5 * 60_000;

export class Timeline {
  readonly entries: Entry[] = [];
  /** How many entries went from the front, ever. */
  dropped = 0;
  /** The key of the first entry that nobody has seen, or undefined. */
  firstUnread: string | undefined;
  unread = 0;
  readonly #keys = new Set<string>();
  #made = 0;

  /** Adds a message unless its id is there; says whether it was new. */
  add(entry: Entry): boolean {
    if (this.#keys.has(entry.key)) return false;
    this.#keys.add(entry.key);
    this.entries.push(entry);
    if (this.entries.length > KEPT + 200) {
      const gone = this.entries.splice(0, this.entries.length - KEPT);
      this.dropped += gone.length;
      for (const old of gone) this.#keys.delete(old.key);
    }
    return true;
  }

  /** A key for what has no id of its own. */
  newKey(): string {
    this.#made += 1;
    return ` ${this.#made}`;
  }

  markUnread(entry: Entry): void {
    this.firstUnread ??= entry.key;
    this.unread += 1;
  }

  /** Somebody looks: nothing is unread. The marker stays until `forgetMarker`. */
  read(): void {
    this.unread = 0;
  }

  forgetMarker(): void {
    this.firstUnread = undefined;
  }
}

/** Says whether an entry starts a day, or a group of one sender's messages. */
export function grouping(before: Entry | undefined, entry: Entry): Grouping {
  const startsDay = !before || dayOf(before.at) !== dayOf(entry.at);
  const startsGroup =
    startsDay || before.type !== entry.type || before.from !== entry.from || before.name !== entry.name || entry.at - before.at > GROUP_MS;
  return { startsDay, startsGroup };
}

function dayOf(moment: number): string {
  const date = new Date(moment);
  return `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;
}
