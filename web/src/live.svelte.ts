// How everything stands, kept fresh: the status is read again when the service says that something happened, and every few seconds
// while something moves. Screens read from here and ask the service only for what is theirs alone.

import { SvelteMap } from 'svelte/reactivity';
import { api, ask, Failure, GONE, type Schemas } from './api/client';
import { follow, type Told } from './api/events';

/** Events come in crowds; one look serves them all. */
const GATHER_MS = 150;
/** What is read of a folder when something happened in it is read no more often than this. */
const BEAT_MS = 1_000;
const MOVING_MS = 1_000;
const RESTING_MS = 10_000;
const TOLD_MAX = 1_000;

let status = $state.raw<Schemas['Status'] | null>(null);
let whoami = $state.raw<Schemas['Whoami'] | null>(null);
let told = $state.raw<Told[]>([]);
let connected = $state(true);
const beats = new SvelteMap<string, number>();

export const live = {
  get status() {
    return status;
  },
  get whoami() {
    return whoami;
  },
  /** Newest first. */
  get told() {
    return told;
  },
  get connected() {
    return connected;
  },
  /** Another number whenever something happened in a folder: what is read from it may be another now. */
  beat(folder: string): number {
    return beats.get(folder) ?? 0;
  },
  folder(id: string): Schemas['FolderStatus'] | null {
    return status?.folders.find((folder) => folder.id === id) ?? null;
  },
};

/** Reads the status now. */
export async function look(): Promise<void> {
  try {
    whoami ??= await ask(api.GET('/api/v1/whoami'));
    status = await ask(api.GET('/api/v1/status'));
    connected = true;
  } catch (why) {
    if (why instanceof Failure && why.code === GONE) connected = false;
  }
}

/** Reads who this is again, after it changed. */
export async function lookAtMyself(): Promise<void> {
  whoami = await ask(api.GET('/api/v1/whoami'));
  await look();
}

/** Keeps everything fresh until stopped. */
export function keepLooking(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let due = Infinity;
  let stopped = false;
  const beating = new Map<string, ReturnType<typeof setTimeout>>();
  const beaten = new Map<string, number>();
  const plan = (wait: number) => {
    const at = performance.now() + wait;
    if (stopped || at >= due) return;
    due = at;
    clearTimeout(timer);
    timer = setTimeout(run, wait);
  };
  const run = async () => {
    await look();
    due = Infinity;
    const moving = status?.folders.some((folder) => folder.state === 'syncing' || (folder.pending_files > 0 && folder.state !== 'offline'));
    plan(document.hidden ? RESTING_MS * 3 : moving ? MOVING_MS : RESTING_MS);
  };
  const stop = follow({
    told(event) {
      // What is open is seen where it is; told afterwards it is nobody's business.
      if (!['missed', 'folder_changed', 'editing'].includes(event.kind)) told = [event, ...told].slice(0, TOLD_MAX);
      if (event.folder && !beating.has(event.folder)) {
        const folder = event.folder;
        const wait = Math.max(GATHER_MS * 2, (beaten.get(folder) ?? 0) + BEAT_MS - performance.now());
        const beat = () => {
          beating.delete(folder);
          beaten.set(folder, performance.now());
          beats.set(folder, (beats.get(folder) ?? 0) + 1);
        };
        beating.set(folder, setTimeout(beat, wait));
      }
      plan(GATHER_MS);
    },
    connected(yes) {
      connected = yes;
      if (yes) plan(0);
    },
  });
  plan(0);
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}
