// One thing that is being done: whether it goes on, and what came of it. Buttons wait for it, and a refusal is shown where it was asked.

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
