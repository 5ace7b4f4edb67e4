// Which part of a long list to put into the document: heights are measured once an item has been shown, guessed before.

export interface Range {
  /** First item to show, and the one after the last. */
  start: number;
  end: number;
  /** Pixels that the items before and after take. */
  before: number;
  after: number;
}

export class WindowedList {
  #heights: (number | undefined)[] = [];
  readonly #guess: number;
  readonly #overscan: number;

  constructor(guess: number, overscan: number) {
    this.#guess = guess;
    this.#overscan = overscan;
  }

  get length(): number {
    return this.#heights.length;
  }

  resize(length: number): void {
    while (this.#heights.length < length) this.#heights.push(undefined);
    this.#heights.length = length;
  }

  /** Forgets items at the front; returns how many pixels they took. */
  drop(count: number): number {
    const gone = this.#heights.splice(0, count);
    return gone.reduce<number>((sum, height) => sum + (height ?? this.#guess), 0);
  }

  /** Remembers a height; returns by how much it differs from what was thought. */
  measured(index: number, height: number): number {
    if (index >= this.#heights.length) return 0;
    const before = this.#heights[index] ?? this.#guess;
    this.#heights[index] = height;
    return height - before;
  }

  /** Pixels of all items. */
  get height(): number {
    return this.#heights.reduce<number>((sum, height) => sum + (height ?? this.#guess), 0);
  }

  forgetHeights(): void {
    this.#heights.fill(undefined);
  }

  /** The items that `viewport` pixels show from `top` on, and some around them. */
  range(top: number, viewport: number): Range {
    const length = this.#heights.length;
    const offsets = new Float64Array(length + 1);
    for (let index = 0; index < length; index += 1) offsets[index + 1] = (offsets[index] ?? 0) + (this.#heights[index] ?? this.#guess);
    const total = offsets[length] ?? 0;
    let first = 0;
    while (first < length && (offsets[first + 1] ?? 0) <= top) first += 1;
    let last = first;
    while (last < length && (offsets[last] ?? 0) < top + viewport) last += 1;
    const start = Math.max(0, Math.min(first, length - 1) - this.#overscan);
    const end = Math.min(length, last + this.#overscan);
    return { start, end, before: offsets[start] ?? 0, after: total - (offsets[end] ?? 0) };
  }
}
