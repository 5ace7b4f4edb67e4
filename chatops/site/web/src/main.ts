// The page: draws the chat once a frame, and hands what a guest does to it.
import { Chat, type JoinedRoom } from "./chat";
import { loadConfig, type Config } from "./config";
import { byId, element, setText } from "./dom";
import { Guest } from "./guest";
import { MessageLog } from "./log";
import { Memory } from "./memory";
import { linkOf, parseRoom, roomOf } from "./rooms";
import { signedAddress } from "./signing";
import { shortIdentity } from "./text";
import type { Entry } from "./timeline";
import { openTransport } from "./transport";

type Screen = "loading" | "broken" | "login" | "chat";

const SAID_EVERY_MS = 1_500;
const PEOPLE_SHOWN = 100;

function showScreen(screen: Screen): void {
  document.body.dataset["screen"] = screen;
  for (const id of ["loading", "broken", "login", "chat"]) byId(id, HTMLElement).hidden = id !== screen;
}

function storage(): Storage | undefined {
  try {
    return window.localStorage;
  } catch {
    return undefined; // forbidden by the browser's settings
  }
}

class Page {
  readonly #memory: Memory;
  readonly #chat: Chat;
  readonly #log: MessageLog;
  readonly #drafts = new Map<string, string>();
  readonly #text = byId("text", HTMLTextAreaElement);
  #frame = 0;
  #shownRoom: string | undefined;
  #lastSaid = 0;
  #notifying = false;

  constructor(private readonly config: Config) {
    this.#memory = new Memory(config.identityPoolId, storage());
    const identity = {
      get: () => this.#memory.identity(),
      set: (identityId: string) => {
        this.#memory.update({ identityId });
      },
      forget: () => {
        this.#memory.forgetIdentity();
      },
    };
    const clock = (): number => Date.now();
    const randomBytes = (bytes: Uint8Array): Uint8Array => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>);
    const guest = new Guest(config.cognito, config.identityPoolId, identity, clock, (...request) => fetch(...request));
    this.#chat = new Chat(
      config,
      {
        guest,
        open: openTransport,
        sign: (credentials) => signedAddress(config.gateway, config.region, credentials, new Date(guest.now())),
        clock,
        random: () => Math.random(),
        randomBytes,
        online: () => navigator.onLine,
        after: (milliseconds, then) => {
          // setTimeout takes 31 bits
          const timer = setTimeout(then, Math.min(milliseconds, 2 ** 31 - 1));
          return () => {
            clearTimeout(timer);
          };
        },
        suffix: [...randomBytes(new Uint8Array(4))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
      },
      {
        changed: () => {
          this.#redraw();
        },
        arrived: (room, entry) => {
          this.#tellHidden(room, entry);
        },
      },
    );
    const chat = this.#chat;
    this.#log = new MessageLog(byId("log", HTMLElement), byId("messages", HTMLOListElement), {
      delivery: (id) => chat.delivery(id),
      retry: (id) => {
        chat.retry(id);
      },
    });
    setText(byId("title", HTMLElement), config.title);
    setText(byId("login-title", HTMLElement), config.title);
    document.title = config.title;
    this.#listen();
  }

  start(): void {
    const { name, signedIn } = this.#memory.value;
    byId("login-name", HTMLInputElement).value = name;
    if (signedIn && name.trim() !== "") this.#enter(name);
    else {
      showScreen("login");
      byId("login-name", HTMLInputElement).focus();
    }
  }

  #enter(name: string): void {
    showScreen("chat");
    this.#memory.update({ name, signedIn: true });
    this.#chat.signIn(name);
    for (const topic of this.#memory.value.rooms) this.#chat.open(topic);
    this.#chat.close();
    this.#followAddress();
    this.#notifyState();
  }

  /** The page's address decides which room is shown, so that the browser's own buttons work. */
  #followAddress(): void {
    if (document.body.dataset["screen"] !== "chat") return;
    this.#keepDraft();
    const room = roomOf(location.hash, this.config.topicPrefix);
    let problem: string | undefined;
    if (room) problem = this.#chat.open(room.topic);
    else {
      this.#chat.close();
      if (location.hash.length > 1) problem = "The address names no room of this chat.";
    }
    setText(byId("join-problem", HTMLElement), problem ?? "");
    this.#memory.update({ rooms: [...this.#chat.rooms.keys()] });
    this.#draw();
  }

  #keepDraft(): void {
    if (this.#shownRoom !== undefined) this.#drafts.set(this.#shownRoom, this.#text.value);
  }

  #listen(): void {
    const chat = this.#chat;
    byId("login-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const name = byId("login-name", HTMLInputElement).value.trim();
      if (name !== "") this.#enter(name);
    });
    byId("join-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      const input = byId("join-name", HTMLInputElement);
      const parsed = parseRoom(input.value.trim(), this.config.topicPrefix);
      setText(byId("join-problem", HTMLElement), "problem" in parsed ? parsed.problem : "");
      if ("problem" in parsed) return;
      input.value = "";
      location.hash = linkOf(parsed.room.topic);
    });
    byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.#text.addEventListener("input", () => {
      this.#drawMeter();
    });
    byId("sign-out", HTMLButtonElement).addEventListener("click", () => {
      this.#memory.update({ signedIn: false, rooms: [] });
      chat.signOut();
      this.#drafts.clear();
      this.#text.value = "";
      this.#shownRoom = undefined;
      history.replaceState(null, "", location.pathname + location.search);
      this.start();
    });
    byId("leave", HTMLButtonElement).addEventListener("click", () => {
      if (chat.current === undefined) return;
      this.#drafts.delete(chat.current);
      chat.leave(chat.current);
      location.hash = "";
    });
    byId("who", HTMLDetailsElement).addEventListener("toggle", () => {
      this.#redraw();
    });
    byId("latest", HTMLButtonElement).addEventListener("click", () => {
      this.#log.toEnd();
      this.#draw();
      this.#text.focus();
    });
    byId("try-now", HTMLButtonElement).addEventListener("click", () => {
      chat.retryConnection();
    });
    byId("notify", HTMLButtonElement).addEventListener("click", () => void this.#toggleNotifications());
    byId("log", HTMLElement).addEventListener(
      "scroll",
      () => {
        this.#log.scrolled();
        this.#redraw();
      },
      { passive: true },
    );
    new ResizeObserver(() => {
      this.#log.resized();
      this.#redraw();
    }).observe(byId("log", HTMLElement));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && chat.current !== undefined) {
        const who = byId("who", HTMLDetailsElement);
        if (who.open) who.open = false;
        else location.hash = "";
      }
      if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
        event.preventDefault();
        this.#step(event.key === "ArrowUp" ? -1 : 1);
      }
    });
    window.addEventListener("hashchange", () => {
      this.#followAddress();
    });
    window.addEventListener("online", () => {
      chat.retryConnection();
    });
    window.addEventListener("offline", () => {
      chat.networkLost();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        chat.watching = false;
        return;
      }
      chat.check();
      this.#redraw();
    });
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) chat.check();
    });
  }

  #send(): void {
    const text = this.#text.value;
    if (text.trim() === "" || !this.#chat.measure(text).fits) return;
    this.#chat.send(text);
    this.#text.value = "";
    this.#log.toEnd();
    this.#draw();
    this.#text.focus();
  }

  /** To the room above or below in the list. */
  #step(by: number): void {
    const topics = this.#topics();
    const at = topics.indexOf(this.#chat.current ?? "");
    const next = topics[(at + by + topics.length) % topics.length];
    if (next !== undefined) location.hash = linkOf(next);
  }

  #topics(): string[] {
    return [...new Set([...this.config.rooms, ...this.#chat.rooms.keys()])];
  }

  #redraw(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
    // Frames stop while the page is hidden; the title is what a hidden page shows.
    if (document.hidden) this.#drawTitle();
  }

  #draw(): void {
    if (document.body.dataset["screen"] !== "chat") return;
    const chat = this.#chat;
    const joined = chat.current === undefined ? undefined : chat.rooms.get(chat.current);
    document.body.dataset["view"] = joined ? "room" : "rooms";
    this.#drawStatus();
    this.#drawRooms();
    this.#drawRoom(joined);
    this.#drawTitle();
  }

  #drawTitle(): void {
    const { unread, current } = this.#chat;
    const name = current === undefined ? "" : `${this.#chat.rooms.get(current)?.room.name ?? ""} · `;
    const title = `${unread > 0 ? `(${unread}) ` : ""}${name}${this.config.title}`;
    if (document.title !== title) document.title = title;
  }

  #drawStatus(): void {
    const { status, name, sender } = this.#chat;
    byId("chat", HTMLElement).dataset["phase"] = status.phase;
    const words = { offline: "Offline", connecting: "Connecting…", connected: `Connected as ${name}`, waiting: "Reconnecting…", closed: "Not connected" };
    setText(byId("status-words", HTMLElement), words[status.phase]);
    setText(byId("me", HTMLElement), sender ? `You are ${name}, guest ${shortIdentity(sender)}` : `You are ${name}`);
    const banner = byId("banner", HTMLElement);
    const wrong = status.phase !== "connected" && status.problem !== "";
    if (banner.hidden === wrong) banner.hidden = !wrong;
    setText(byId("banner-words", HTMLElement), wrong ? `${status.problem} What you write is kept and sent later.` : "");
    byId("try-now", HTMLButtonElement).hidden = status.phase !== "waiting";
  }

  #drawRooms(): void {
    const list = byId("rooms", HTMLElement);
    const topics = this.#topics();
    const links = [...list.querySelectorAll("a")];
    if (links.length !== topics.length || links.some((link, index) => link.dataset["topic"] !== topics[index])) {
      list.replaceChildren(
        ...topics.map((topic) => {
          const name = element("span", { class: "name", dir: "auto" }, topic.slice(this.config.topicPrefix.length));
          return element("li", {}, element("a", { href: linkOf(topic), "data-topic": topic }, name));
        }),
      );
    }
    for (const link of list.querySelectorAll("a")) {
      const topic = link.dataset["topic"] ?? "";
      const joined = this.#chat.rooms.get(topic);
      link.classList.toggle("joined", joined !== undefined);
      if (topic === this.#chat.current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      const unread = joined?.timeline.unread ?? 0;
      let badge = link.querySelector(".badge");
      if (unread === 0) badge?.remove();
      else {
        if (!badge) {
          badge = element("span", { class: "badge" });
          link.append(badge);
        }
        setText(badge, unread > 99 ? "99+" : String(unread));
        badge.setAttribute("aria-label", `${unread} unread`);
        badge.setAttribute("role", "img");
      }
    }
  }

  #drawRoom(joined: JoinedRoom | undefined): void {
    const chat = this.#chat;
    for (const id of ["room-head", "log", "composer"]) byId(id, HTMLElement).hidden = !joined;
    byId("no-room", HTMLElement).hidden = joined !== undefined;
    const changed = chat.current !== this.#shownRoom;
    this.#shownRoom = chat.current;
    if (!joined) {
      chat.watching = false;
      byId("latest", HTMLElement).hidden = true;
      return;
    }
    const { room, timeline, problem } = joined;
    setText(byId("room-name", HTMLElement), room.name);
    if (changed) {
      this.#log.show(joined);
      this.#text.value = this.#drafts.get(room.topic) ?? "";
      byId("who", HTMLDetailsElement).open = false;
      if (matchMedia("(pointer: coarse)").matches) byId("room-name", HTMLElement).focus();
      else this.#text.focus();
    }
    this.#log.draw();
    chat.watching = !document.hidden && this.#log.atEnd;
    if (chat.watching) timeline.read();
    const latest = byId("latest", HTMLButtonElement);
    latest.hidden = this.#log.atEnd;
    setText(latest, timeline.unread > 0 ? `${timeline.unread} new ↓` : "Latest ↓");
    byId("empty", HTMLElement).hidden = timeline.entries.length > 0 || problem !== "";
    this.#text.disabled = problem !== "";
    this.#drawPeople(joined);
    this.#drawMeter();
    this.#sayNewest(joined);
  }

  #drawMeter(): void {
    const meter = byId("meter", HTMLElement);
    const problem = this.#chat.current === undefined ? "" : (this.#chat.rooms.get(this.#chat.current)?.problem ?? "");
    const { fits, words } = this.#chat.measure(this.#text.value);
    meter.classList.toggle("over", !fits || problem !== "");
    setText(meter, problem || words);
    byId("send", HTMLButtonElement).disabled = !fits || problem !== "" || this.#text.value.trim() === "";
  }

  #drawPeople(joined: JoinedRoom): void {
    const people = joined.presence.people(Date.now());
    setText(byId("who-count", HTMLElement), `${people.length} here`);
    if (!byId("who", HTMLDetailsElement).open) return;
    const rows = people.slice(0, PEOPLE_SHOWN).map((person) => {
      const you = person.identity === this.#chat.sender ? " (you)" : "";
      return element("li", {}, element("bdi", {}, person.name || "A guest"), you, " ", element("small", {}, shortIdentity(person.identity)));
    });
    const rest = people.length > PEOPLE_SHOWN ? [element("li", {}, `and ${people.length - PEOPLE_SHOWN} more`)] : [];
    const note = element("li", {}, element("small", {}, "Who has been heard since you came."));
    byId("who-list", HTMLElement).replaceChildren(...rows, ...rest, note);
  }

  /** Screen readers are told the newest message, not every one of a flood. */
  #sayNewest(joined: JoinedRoom): void {
    const newest = joined.timeline.entries.at(-1);
    const now = Date.now();
    if (!newest || newest.own || now - this.#lastSaid < SAID_EVERY_MS) return;
    this.#lastSaid = now;
    setText(byId("said", HTMLElement), `${newest.type === "chat" ? `${newest.name}: ` : ""}${newest.text.slice(0, 500)}`);
  }

  async #toggleNotifications(): Promise<void> {
    this.#notifying = !this.#notifying && (await Notification.requestPermission()) === "granted";
    this.#notifyState();
  }

  #notifyState(): void {
    const button = byId("notify", HTMLButtonElement);
    button.hidden = !("Notification" in window) || Notification.permission === "denied";
    button.setAttribute("aria-pressed", String(this.#notifying));
  }

  #tellHidden(joined: JoinedRoom, entry: Entry): void {
    if (!this.#notifying || !document.hidden) return;
    // One notification a room: a busy room replaces its own.
    const title = `${entry.name || "A guest"} in ${joined.room.name}`;
    const notification = new Notification(title, { body: entry.text.slice(0, 200), tag: joined.room.topic });
    notification.addEventListener("click", () => {
      window.focus();
      location.hash = linkOf(joined.room.topic);
    });
  }
}

async function main(): Promise<void> {
  try {
    new Page(await loadConfig()).start();
  } catch (error) {
    showScreen("broken");
    setText(byId("broken-why", HTMLElement), error instanceof Error ? error.message : String(error));
  }
}

void main();
