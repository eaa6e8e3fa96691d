// Stopping a folder's traffic, and letting it go on.

import { api, ask } from './client';
import { look } from '../live.svelte';

/** Nothing of the folder is sent or received while it is paused. */
export async function setPaused(folder: string, paused: boolean): Promise<void> {
  const at = { params: { path: { folder } } };
  await ask(paused ? api.POST('/api/v1/folders/{folder}/pause', at) : api.POST('/api/v1/folders/{folder}/resume', at));
  await look();
}
