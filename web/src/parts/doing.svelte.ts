// Things that are being done: whether one goes on, and what came of it. Buttons wait for it, and a refusal is shown where it was asked.

/** One thing that is being done. */
export class Doing {
  busy = $state(false);
  why = $state.raw<unknown>(null);

  /** Does it, unless it is being done. True if it worked. */
  async do(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.why = null;
    try {
      await work();
      return true;
    } catch (why) {
      this.why = why;
      return false;
    } finally {
      this.busy = false;
    }
  }
}

/** Something that is read again whenever it may be another. Asked for while it is being read, it is read once more: what was asked
 *  before a change is no answer after it. */
export class Reading {
  why = $state.raw<unknown>(null);
  #asked = false;
  #running: Promise<void> | null = null;

  /** Done when everything that had changed until now has been read. */
  read(work: () => Promise<unknown>): Promise<void> {
    this.#asked = true;
    this.#running ??= this.#run(work).finally(() => (this.#running = null));
    return this.#running;
  }

  async #run(work: () => Promise<unknown>): Promise<void> {
    while (this.#asked) {
      this.#asked = false;
      try {
        await work();
        this.why = null;
      } catch (why) {
        this.why = why;
      }
    }
  }
}

/** A deed that many notice: what it would do is shown first, then it is done. `What` is what it is done to. */
export class Deed<What, Answer> {
  /** What is asked about now. */
  asking = $state.raw<What | null>(null);
  /** What doing it would mean; known before it can be done. */
  would = $state.raw<Answer | null>(null);
  /** What came of the last one that was done. */
  did = $state.raw<Answer | null>(null);
  /** Whether it is being found out what it would mean. */
  looking = $state(false);
  busy = $state(false);
  why = $state.raw<unknown>(null);
  /** An answer about what is not asked about any more is for nobody. */
  #turn = 0;
  readonly #act: (what: What, dryRun: boolean) => Promise<Answer>;
  readonly #after: (did: Answer) => unknown;

  /** `act` does it, or only says what it would mean; `after` follows what was done. */
  constructor(act: (what: What, dryRun: boolean) => Promise<Answer>, after: (did: Answer) => unknown = () => {}) {
    [this.#act, this.#after] = [act, after];
  }

  /** Asks about something else, and finds out what it would mean. */
  async choose(what: What): Promise<void> {
    const turn = ++this.#turn;
    [this.asking, this.would, this.did, this.why, this.looking] = [what, null, null, null, true];
    try {
      const found = await this.#act(what, true);
      if (turn === this.#turn) this.would = found;
    } catch (why) {
      if (turn === this.#turn) this.why = why;
    } finally {
      if (turn === this.#turn) this.looking = false;
    }
  }

  /** Leaves it. */
  cancel(): void {
    this.#turn += 1;
    [this.asking, this.would, this.why, this.looking] = [null, null, null, false];
  }

  /** Does what is asked about, or something else that needs no question. True if it worked. */
  async do(what: What | null = this.asking): Promise<boolean> {
    if (this.busy || what === null) return false;
    [this.busy, this.why] = [true, null];
    try {
      const did = await this.#act(what, false);
      this.cancel();
      this.did = did;
      await this.#after(did);
      return true;
    } catch (why) {
      this.why = why;
      return false;
    } finally {
      this.busy = false;
    }
  }
}
