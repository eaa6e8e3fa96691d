// Files on their way into a folder: one after the other, until all have gone or a person has enough. One that fails stops none of the rest.

import type { Schemas } from './api/client';
import type { Dropped } from './dropped';

type Send = (path: string, file: Blob, progress: (part: number) => void, signal: AbortSignal) => Promise<Schemas['FileAdded']>;

export class Uploads {
  /** What goes now, how much of all has gone, and how many files are left with it. */
  now = $state.raw<{ path: string; part: number; left: number } | null>(null);
  added = $state(0);
  /** Where a name was taken already: what came has another. */
  renamed = $state.raw<readonly { from: string; to: string }[]>([]);
  failed = $state.raw<readonly { path: string; why: unknown }[]>([]);
  #stop: AbortController | null = null;
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  /** Sends them, unless others are on their way. */
  async put(files: readonly Dropped[]): Promise<void> {
    if (this.#stop || files.length === 0) return;
    const stop = (this.#stop = new AbortController());
    [this.added, this.renamed, this.failed] = [0, [], []];
    // Each file counts as one more byte, so that empty ones get on, too.
    const whole = files.reduce((sum, { file }) => sum + file.size + 1, 0);
    let gone = 0;
    try {
      for (const [i, { path, file }] of files.entries()) {
        if (stop.signal.aborted) break;
        const note = (part: number) => (this.now = { path, part: (gone + part * file.size) / whole, left: files.length - i });
        note(0);
        try {
          const { path: to } = await this.#send(path, file, note, stop.signal);
          this.added += 1;
          if (to !== path) this.renamed = [...this.renamed, { from: path, to }];
        } catch (why) {
          if (!stop.signal.aborted) this.failed = [...this.failed, { path, why }];
        }
        gone += file.size + 1;
      }
    } finally {
      [this.now, this.#stop] = [null, null];
    }
  }

  /** What has not gone yet stays where it is. */
  cancel(): void {
    this.#stop?.abort();
  }
}
