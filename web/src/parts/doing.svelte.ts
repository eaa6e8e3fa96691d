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
