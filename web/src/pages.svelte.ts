// A long list of which only some is here: asked for piece by piece as it comes into sight.

/** Items in one piece. */
const PIECE = 200;
/** Pieces that are kept; what is far away is asked for again. */
const KEPT_MAX = 20;

export interface Piece<T> {
  total: number;
  items: readonly T[];
}

export class Pages<T> {
  total = $state<number | null>(null);
  why = $state.raw<unknown>(null);
  #pieces = $state.raw<ReadonlyMap<number, readonly T[]>>(new Map());
  #asked = new Set<number>();
  /** Answers to an earlier question are not for this one. */
  #turn = 0;
  readonly #read: (offset: number, limit: number) => Promise<Piece<T>>;

  constructor(read: (offset: number, limit: number) => Promise<Piece<T>>) {
    this.#read = read;
  }

  at(index: number): T | undefined {
    return this.#pieces.get(Math.floor(index / PIECE))?.[index % PIECE];
  }

  /** Forgets everything: the question is another. What was there stays in sight until the answer is here. */
  forget(): void {
    this.#turn += 1;
    this.#asked.clear();
    this.#stale = true;
  }
  #stale = false;

  /** Asks for what of this is not here. */
  async want(from: number, until: number): Promise<void> {
    const wanted = piecesOf(from, until).filter((piece) => !this.#asked.has(piece));
    await Promise.all(wanted.map((piece) => this.#fetch(piece)));
  }

  /** Asks again for all of this. */
  async renew(from: number, until: number): Promise<void> {
    if (this.total === null) return;
    this.#turn += 1;
    this.#asked.clear();
    await this.want(from, Math.max(until, from + 1));
  }

  async #fetch(piece: number): Promise<void> {
    const turn = this.#turn;
    this.#asked.add(piece);
    try {
      const { total, items } = await this.#read(piece * PIECE, PIECE);
      if (turn !== this.#turn) return;
      const kept = this.#stale ? [] : [...this.#pieces].filter(([other]) => other !== piece);
      this.#stale = false;
      const near = kept.sort(([a], [b]) => Math.abs(a - piece) - Math.abs(b - piece)).slice(0, KEPT_MAX - 1);
      for (const [dropped] of kept.slice(KEPT_MAX - 1)) this.#asked.delete(dropped);
      this.#pieces = new Map([...near, [piece, items]]);
      this.total = total;
      this.why = null;
    } catch (why) {
      if (turn !== this.#turn) return;
      this.#asked.delete(piece);
      this.why = why;
    }
  }
}

/** Which pieces hold the items from `from` to before `until`. */
export function piecesOf(from: number, until: number): number[] {
  const first = Math.floor(from / PIECE);
  const last = Math.floor(Math.max(from, until - 1) / PIECE);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}
