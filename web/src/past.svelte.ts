// A folder's past, read backwards a page at a time: what changed, or what was deleted.

import type { Schemas } from './api/client';

export type Change = Schemas['HistoryEntry'];
type Page = Schemas['History'];

/** Entries of a page. */
const PAGE = 60;
/** So many can be asked for at once. */
const ENTRIES_MAX = 1_000;
/** Of a page that has no entry the next one is read; not for ever without a word to the person. */
const EMPTY_PAGES_MAX = 20;

export class Past {
  entries = $state.raw<readonly Change[] | null>(null);
  /** Some states in between are kept by nobody who can be reached. */
  thinned = $state(false);
  busy = $state(false);
  why = $state.raw<unknown>(null);
  #next = $state<string | null>(null);
  /** Answers to an earlier question are not for this one. */
  #turn = 0;
  readonly #read: (from: string | null, limit: number) => Promise<Page>;

  constructor(read: (from: string | null, limit: number) => Promise<Page>) {
    this.#read = read;
  }

  /** Whether there is more to be read. */
  get goesOn(): boolean {
    return this.#next !== null;
  }

  /** Reads from now on, as far back as was read already. What was there stays in sight until the answer is here. Asked for while it is
   *  being done, it is done once more afterwards: in a busy folder answers come all the same, one at a time. */
  renew(): Promise<void> {
    this.#asked = true;
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = null));
    return this.#renewing;
  }
  #asked = false;
  #renewing: Promise<void> | null = null;

  async #renew(): Promise<void> {
    while (this.#asked) {
      this.#asked = false;
      await this.#fill([], null, Math.min(ENTRIES_MAX, Math.max(PAGE, this.entries?.length ?? 0)), false);
    }
  }

  /** Reads one page further back. */
  async more(): Promise<void> {
    if (this.busy || this.#next === null) return;
    await this.#fill(this.entries ?? [], this.#next, PAGE, this.thinned);
  }

  async #fill(before: readonly Change[], from: string | null, limit: number, thinned: boolean): Promise<void> {
    const turn = ++this.#turn;
    this.busy = true;
    try {
      let page = await this.#read(from, limit);
      let found = page.entries;
      thinned ||= page.thinned;
      for (let i = 0; found.length === 0 && page.next && i < EMPTY_PAGES_MAX && turn === this.#turn; i++) {
        page = await this.#read(page.next, limit);
        found = page.entries;
        thinned ||= page.thinned;
      }
      if (turn !== this.#turn) return;
      this.entries = [...before, ...found];
      this.thinned = thinned;
      this.#next = page.next ?? null;
      this.why = null;
    } catch (why) {
      if (turn === this.#turn) this.why = why;
    } finally {
      if (turn === this.#turn) this.busy = false;
    }
  }
}

/** Where what each entry tells of is now, as far as the entries before it, the newer ones, tell of renames. Newest first. */
export function presentPaths(entries: readonly Change[]): string[] {
  const moved: { from: string; to: string }[] = [];
  const now = (path: string) => {
    // From the oldest rename that was met to the newest.
    for (let i = moved.length - 1; i >= 0; i--) {
      const { from, to } = moved[i] as { from: string; to: string };
      if (path === from) path = to;
      else if (path.startsWith(`${from}/`)) path = to + path.slice(from.length);
    }
    return path;
  };
  return entries.map((entry) => {
    const path = now(entry.path);
    if (entry.change === 'renamed' && entry.from_path) moved.push({ from: entry.from_path, to: entry.path });
    return path;
  });
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** What lies next to each other and has the same key, together. */
export function runs<T>(all: readonly T[], key: (one: T) => string): { key: string; of: T[] }[] {
  const found: { key: string; of: T[] }[] = [];
  for (const one of all) {
    const last = found.at(-1);
    if (last && last.key === key(one)) last.of.push(one);
    else found.push({ key: key(one), of: [one] });
  }
  return found;
}

/** All of the same key together, in the order of the first of each. */
export function groups<T>(all: readonly T[], key: (one: T) => string): { key: string; of: T[] }[] {
  const found = new Map<string, T[]>();
  for (const one of all) {
    const of = found.get(key(one));
    if (of) of.push(one);
    else found.set(key(one), [one]);
  }
  return [...found].map(([key, of]) => ({ key, of }));
}

/** A moment as the service takes it: in UTC, to the second. */
export function toService(at: Date): string {
  return at.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** A moment as an `<input type="datetime-local">` holds it. */
export function toInput(at: Date): string {
  const two = (n: number) => String(n).padStart(2, '0');
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
