// What happens, as it is told. EventSource can not send the Authorization header, so the stream is read here: frames are cut at
// empty lines, and a lost connection is taken up again after the last event that arrived.

import { frames } from './frames';
import { GONE, Failure, authorization, failureOf, type Schemas } from './client';

export type Told = Schemas['Event'];

/** An id the service never gave: it answers with everything it still has. */
const FROM_THE_START = 'start';
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;

export interface Listener {
  told(event: Told): void;
  /** Whether the service can be heard now. */
  connected(yes: boolean): void;
}

/** Follows until stopped. */
export function follow(listener: Listener): () => void {
  const stop = new AbortController();
  let last = FROM_THE_START;
  let wait = RETRY_MS_MIN;

  async function once(): Promise<void> {
    const answer = await fetch('/api/v1/events', {
      headers: { ...authorization(), 'Last-Event-ID': last },
      cache: 'no-store',
      signal: stop.signal,
    });
    if (!answer.ok) throw failureOf(answer.status, await answer.json().catch(() => null));
    if (!answer.body) throw new Failure(GONE, '');
    listener.connected(true);
    wait = RETRY_MS_MIN;
    const cut = frames();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const data of cut(value)) {
        const event = JSON.parse(data) as Told;
        last = event.id;
        listener.told(event);
      }
    }
  }

  void (async () => {
    while (!stop.signal.aborted) {
      try {
        await once();
      } catch (why) {
        if (why instanceof Failure && why.status === 401) return;
      }
      if (stop.signal.aborted) return;
      listener.connected(false);
      await new Promise((then) => setTimeout(then, wait));
      wait = Math.min(wait * 2, RETRY_MS_MAX);
    }
  })();
  return () => stop.abort();
}
