// Links in messages: only http and https, only what parses as a URL, never HTML.

export interface Segment {
  text: string;
  href?: string;
}

const CANDIDATE = /\bhttps?:\/\/[^\s<>"'`\u202a-\u202e\u2066-\u2069]+/gi;
const MAX_LINKS = 50;

export function linkify(text: string): Segment[] {
  const segments: Segment[] = [];
  let end = 0;
  let links = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    if (links === MAX_LINKS) break;
    const found = withoutTail(match[0]);
    const href = safeAddress(found);
    if (href === undefined) continue;
    if (match.index > end) segments.push({ text: text.slice(end, match.index) });
    segments.push({ text: found, href });
    end = match.index + found.length;
    links += 1;
  }
  if (end < text.length) segments.push({ text: text.slice(end) });
  return segments;
}

/** A sentence's punctuation, or a bracket around the link, is not the link's. */
function withoutTail(found: string): string {
  let length = found.length;
  while (length > 0) {
    const last = found[length - 1] ?? "";
    const unbalanced = last === ")" && count(found, length, "(") < count(found, length, ")");
    if (!unbalanced && !".,;:!?]}*_~".includes(last)) break;
    length -= 1;
  }
  return found.slice(0, length);
}

function count(text: string, length: number, character: string): number {
  let sum = 0;
  for (let index = 0; index < length; index += 1) if (text[index] === character) sum += 1;
  return sum;
}

/** The address as the browser will open it; undefined when it has credentials in it, which only deceive. */
function safeAddress(text: string): string | undefined {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return undefined;
  }
  const web = url.protocol === "http:" || url.protocol === "https:";
  return web && url.hostname !== "" && url.username === "" && url.password === "" ? url.href : undefined;
}
