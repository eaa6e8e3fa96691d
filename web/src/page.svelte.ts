// What this page remembers of the person: language, appearance, whether the recovery words are written down. The service keeps it,
// since the page's own address, and with it all that a browser would keep, is another at each start.

import { api, ask, type Schemas } from './api/client';
import { isLanguage, preferred, speak } from './words/words.svelte';

type Settings = Schemas['PageSettings'];

let settings = $state<Settings>({});
let known = $state(false);

export const page = {
  get settings(): Settings {
    return settings;
  },
  /** Whether the service has said. */
  get known(): boolean {
    return known;
  },
};

async function take(next: Settings): Promise<void> {
  settings = next;
  known = true;
  const look = next.appearance ?? 'system';
  if (look === 'system') delete document.documentElement.dataset.look;
  else document.documentElement.dataset.look = look;
  await speak(next.language && isLanguage(next.language) ? next.language : preferred(navigator.languages));
}

export async function loadPage(): Promise<void> {
  await take(await ask(api.GET('/api/v1/page')));
}

/** Changes some of it; the rest stays. */
export async function keep(change: Settings): Promise<void> {
  await take(await ask(api.PUT('/api/v1/page', { body: { ...settings, ...change } })));
}
