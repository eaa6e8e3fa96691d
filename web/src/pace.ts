// How long what moves will still take, from how fast it went lately. Pure.

/** Samples older than this say nothing of now. */
const WINDOW_MS = 20_000;
/** Before this much time a guess would jump about. */
const GUESS_AFTER_MS = 3_000;

export class Pace {
  #samples: { at: number; left: number }[] = [];

  /** So much was left at this time. More than before means that something was added: it begins anew. */
  note(at: number, left: number): void {
    const last = this.#samples.at(-1);
    if (last && left > last.left) this.#samples = [];
    this.#samples.push({ at, left });
    this.#samples = this.#samples.filter((sample) => at - sample.at <= WINDOW_MS);
  }

  /** Seconds that are left; nothing as long as it can not be told. */
  seconds(): number | null {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at - first.at < GUESS_AFTER_MS || first.left <= last.left || last.left === 0) return null;
    return (last.left * (last.at - first.at)) / (first.left - last.left) / 1000;
  }
}
