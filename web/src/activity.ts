// What happened, as sentences in the person's language. The service's own words are English: they stand where it says more than its
// kind does.

import type { Told } from './api/events';
import { t } from './words/words.svelte';

export const GROUPS = ['all', 'files', 'people', 'safety', 'attention'] as const;
export type Group = (typeof GROUPS)[number];

const GROUP_OF: Partial<Record<Told['kind'], Group>> = {
  files_received: 'files',
  member_joined: 'people',
  member_online: 'people',
  member_offline: 'people',
  folder_added: 'people',
  folder_left: 'people',
  backup_complete: 'safety',
  conflict: 'attention',
  held: 'attention',
  problem: 'attention',
  join_waiting: 'attention',
  join_refused: 'attention',
  forget_asked: 'attention',
};

/** What kind of thing it is; what has no group of its own is in all alone. */
export function groupOf(event: Told): Group {
  return GROUP_OF[event.kind] ?? 'all';
}

export function isIn(event: Told, group: Group): boolean {
  return group === 'all' || groupOf(event) === group;
}

/** So much of a key is shown; as everywhere else a seeder is called. */
const KEY_CHARS_SHOWN = 8;

/** A member by their name, as far as they are known; anybody else by the beginning of their key. */
export function called(who: string | null | undefined, names: ReadonlyMap<string, string>): string {
  if (!who) return t('activity.somebody');
  return names.get(who) ?? (/^[0-9a-f]{64}$/.test(who) ? who.slice(0, KEY_CHARS_SHOWN) : who);
}

/** One event as a sentence; `folder` is the folder's name, where it is known, `names` those of its members by their keys. */
export function sentence(event: Told, folder: string | null, names: ReadonlyMap<string, string>): string {
  const name = folder ?? t('activity.aFolder');
  const who = called(event.who, names);
  switch (event.kind) {
    case 'folder_added':
      return t('activity.folderAdded', { name });
    case 'folder_left':
      return event.message;
    case 'files_received':
      return t('activity.filesReceived', { name });
    case 'member_joined':
      return t('activity.memberJoined', { who, name });
    case 'member_online':
      return t('activity.memberOnline', { who });
    case 'member_offline':
      return t('activity.memberOffline', { who });
    case 'backup_complete':
      return t('activity.backupComplete', { who, name });
    case 'conflict':
      return event.path ? t('activity.conflict', { path: event.path, name }) : event.message;
    case 'held':
      return t('activity.held', { name });
    case 'join_waiting':
      return t('activity.joinWaiting', { name });
    case 'join_refused':
      return t('activity.joinRefused');
    default:
      return event.message;
  }
}

/** The part of the folder's screens in which one sees more of it. */
const PART: Partial<Record<Told['kind'], string>> = {
  files_received: 'history',
  member_joined: 'people',
  backup_complete: 'backups',
  conflict: 'conflicts',
  held: 'held',
  join_waiting: 'people',
};

export function partOf(event: Told): string[] {
  const part = PART[event.kind];
  return part === undefined ? [] : [part];
}
