// The list of messages on the page: only what is in view, and some around it, is in the document.
import type { JoinedRoom } from "./chat";
import { element } from "./dom";
import { linkify } from "./linkify";
import type { Outgoing } from "./outbox";
import { shortIdentity } from "./text";
import { grouping, type Entry } from "./timeline";
import { WindowedList } from "./windowed";

const GUESS_PX = 40;
const OVERSCAN = 12;
const AT_END_PX = 48;
const PASSES = 4;
const LONG = 2_000;
const LINES = 30;

interface Shown {
  node: HTMLLIElement;
  /** What the node shows beside its entry, which never changes. */
  signature: string;
}

interface Words {
  delivery(id: string): Outgoing | undefined;
  retry(id: string): void;
}

export class MessageLog {
  #list = new WindowedList(GUESS_PX, OVERSCAN);
  #shown = new Map<string, Shown>();
  #room: JoinedRoom | undefined;
  #dropped = 0;
  #follow = true;

  constructor(
    private readonly box: HTMLElement,
    private readonly items: HTMLOListElement,
    private readonly words: Words,
  ) {}

  /** Whether the newest message is in view. */
  get atEnd(): boolean {
    return this.#follow;
  }

  scrolled(): void {
    this.#follow = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < AT_END_PX;
  }

  toEnd(): void {
    this.#follow = true;
  }

  resized(): void {
    this.#list.forgetHeights();
  }

  show(room: JoinedRoom): void {
    if (room === this.#room) return;
    this.#room = room;
    this.#list = new WindowedList(GUESS_PX, OVERSCAN);
    this.#dropped = room.timeline.dropped;
    this.#shown.clear();
    this.items.replaceChildren();
    this.#follow = true;
  }

  draw(): void {
    const timeline = this.#room?.timeline;
    if (!timeline) return;
    const { entries } = timeline;
    if (timeline.dropped > this.#dropped) {
      const gone = this.#list.drop(timeline.dropped - this.#dropped);
      this.#dropped = timeline.dropped;
      if (!this.#follow) this.box.scrollTop -= gone;
    }
    this.#list.resize(entries.length);
    const anchor = this.#follow ? undefined : this.#firstInView();
    for (let pass = 0; pass < PASSES; pass += 1) {
      const viewport = this.box.clientHeight;
      const top = this.#follow ? Math.max(0, this.#list.height - viewport) : this.box.scrollTop;
      const range = this.#list.range(top, viewport);
      this.items.style.paddingTop = `${range.before}px`;
      this.items.style.paddingBottom = `${range.after}px`;
      this.#fill(entries, range.start, range.end, timeline.firstUnread);
      let moved = 0;
      for (let index = range.start; index < range.end; index += 1) {
        const node = this.#shown.get(entries[index]?.key ?? "")?.node;
        if (node) moved += Math.abs(this.#list.measured(index, node.getBoundingClientRect().height));
      }
      if (this.#follow) this.box.scrollTop = this.box.scrollHeight;
      else if (anchor) {
        const node = this.#shown.get(anchor.key)?.node;
        if (node) this.box.scrollTop += node.getBoundingClientRect().top - anchor.top;
      }
      if (moved < 1) break;
    }
  }

  #firstInView(): { key: string; top: number } | undefined {
    const edge = this.box.getBoundingClientRect().top;
    for (const [key, { node }] of this.#shown) {
      const place = node.getBoundingClientRect();
      if (place.bottom > edge) return { key, top: place.top };
    }
    return undefined;
  }

  #fill(entries: readonly Entry[], start: number, end: number, firstUnread: string | undefined): void {
    const wanted = new Map<string, Shown>();
    for (let index = start; index < end; index += 1) {
      const entry = entries[index];
      if (!entry) continue;
      const group = grouping(entries[index - 1], entry);
      const outgoing = entry.own ? this.words.delivery(entry.key) : undefined;
      const isNew = entry.key === firstUnread;
      const signature = `${group.startsDay}${group.startsGroup}${isNew}${outgoing?.state}${outgoing?.problem}`;
      const known = this.#shown.get(entry.key);
      const fresh = known?.signature === signature ? known : { node: this.#render(entry, group, isNew, outgoing), signature };
      if (known && fresh !== known) known.node.replaceWith(fresh.node);
      wanted.set(entry.key, fresh);
    }
    for (const [key, { node }] of this.#shown) if (!wanted.has(key)) node.remove();
    this.#shown = wanted;
    let place: ChildNode | null = this.items.firstChild;
    for (const { node } of wanted.values()) {
      if (node === place) place = place.nextSibling;
      else this.items.insertBefore(node, place);
    }
  }

  #render(entry: Entry, group: ReturnType<typeof grouping>, isNew: boolean, outgoing: Outgoing | undefined): HTMLLIElement {
    const item = element("li", { class: [entry.type, entry.own && "own", group.startsGroup && "first"].filter(Boolean).join(" "), "data-key": entry.key });
    if (group.startsDay) item.append(element("div", { class: "divider" }, dayWords(entry.at)));
    if (isNew) item.append(element("div", { class: "divider new" }, "New messages"));
    if (entry.type === "gap") {
      item.append(element("div", { class: "divider gap" }, `Not connected from ${timeWords(entry.at)} on: what was said meanwhile is not here`));
      return item;
    }
    if (entry.type === "system") {
      item.append(element("p", { class: "words", dir: "auto" }, entry.text));
      return item;
    }
    if (group.startsGroup) item.append(senderLine(entry));
    item.append(bubble(entry));
    if (outgoing) item.append(this.#deliveryLine(entry.key, outgoing));
    return item;
  }

  #deliveryLine(key: string, outgoing: Outgoing): HTMLElement {
    if (outgoing.state !== "failed") return element("p", { class: `delivery ${outgoing.state}` }, outgoing.state === "sent" ? "Sent" : "Sending…");
    const again = element("button", { type: "button" }, "Retry");
    again.addEventListener("click", () => {
      this.words.retry(key);
    });
    return element("p", { class: "delivery failed" }, `Not sent. ${outgoing.problem} `, again);
  }
}

function senderLine(entry: Entry): HTMLElement {
  const time = element("time", { datetime: new Date(entry.at).toISOString() }, timeWords(entry.at));
  if (entry.own) return element("p", { class: "sender" }, "You · ", time);
  if (entry.type === "plain") return element("p", { class: "sender" }, "plain text, sender unknown · ", time);
  const name = element("bdi", {}, element("b", {}, entry.name || "A guest"));
  return element("p", { class: "sender", title: entry.from.slice(0, 80) }, name, ` ${shortIdentity(entry.from)} · `, time);
}

function bubble(entry: Entry): HTMLElement {
  // A wall of text scrolls in itself, by keyboard as well.
  const long = entry.text.length > LONG || entry.text.split("\n", LINES + 1).length > LINES;
  const made = element("div", long ? { class: "bubble long", dir: "auto", tabindex: "0" } : { class: "bubble", dir: "auto" });
  for (const { text, href } of linkify(entry.text)) {
    made.append(href === undefined ? text : element("a", { href, target: "_blank", rel: "noopener noreferrer nofollow ugc" }, text));
  }
  return made;
}

function timeWords(moment: number): string {
  return new Date(moment).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
}

function dayWords(moment: number): string {
  const day = new Date(moment);
  if (day.toDateString() === new Date().toDateString()) return "Today";
  return day.toLocaleDateString(undefined, { weekday: "long", day: "numeric", month: "long" });
}
