// How much of AWS IoT's limit a message takes.
import { encode, type Envelope } from "./envelope";
import { MAX_PAYLOAD_BYTES } from "./rooms";

export interface Measure {
  bytes: number;
  fits: boolean;
  /** What to show, or nothing while there is plenty of room. */
  words: string;
}

/** `draft` is the message as it would be sent. */
export function measure(draft: Envelope): Measure {
  const bytes = encode(draft).length;
  const left = MAX_PAYLOAD_BYTES - bytes;
  if (left < 0) return { bytes, fits: false, words: `${(-left).toLocaleString("en")} bytes too long` };
  return { bytes, fits: true, words: left < MAX_PAYLOAD_BYTES / 4 ? `${left.toLocaleString("en")} bytes left` : "" };
}
