// How long to wait before the next try: full jitter, so that a thousand guests do not come back at once.

export const FIRST_MS = 500;
export const LONGEST_MS = 30_000;

/** Waits between zero and `FIRST_MS` doubled for each failed try; `random` is in [0, 1). */
export function backoff(failures: number, random: () => number): number {
  return Math.round(random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 16)));
}
