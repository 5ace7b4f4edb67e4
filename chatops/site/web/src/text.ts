// What strangers wrote, made fit to be shown: characters that cannot be seen but change how other text looks go.

const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]|\udb40[\udc00-\udc7f]/g;

export function shownText(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(UNSEEN, "\ufffd");
}

export const NAME_LENGTH = 40;

/** A display name on one line, bounded. */
export function shownName(name: string): string {
  const line = shownText(name).replace(/\s+/g, " ").trim();
  const letters = [...line];
  return letters.length > NAME_LENGTH ? `${letters.slice(0, NAME_LENGTH - 1).join("")}…` : line;
}

/** A guest's short form: the end of its identity id. */
export function shortIdentity(identity: string): string {
  return identity.length > 12 ? `…${shownName(identity.slice(-6))}` : shownName(identity);
}
