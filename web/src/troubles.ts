// Refusals in the person's language. The service's own words are English and speak of commands: they stand where there are no others
// for a code, and small beneath those there are, since they name the thing.

import { Failure, GONE } from './api/failure';
import { t } from './words/words.svelte';

/** Codes that have words of their own here; docs/api.md says what each means. */
export const KNOWN = [
  'not_in_history',
  'conflict_not_found',
  'role_forbids',
  'code_spent',
  'code_unreadable',
  'code_for_another',
  'unreachable',
  'timed_out',
  'quota_exceeded',
  'identity_in_use',
  'words_wrong',
  'file_not_found',
  'member_not_found',
  'invite_not_found',
  'device_not_found',
  'held_not_found',
  'held_aside_not_found',
  'stopping',
] as const;

/** What happened, what to do, and the service's own words where they say more. */
export function told(why: unknown): { what: string; hint: string | null; own: string | null } {
  if (!(why instanceof Failure)) return { what: why instanceof Error ? why.message : String(why), hint: null, own: null };
  if (why.code === GONE) return { what: t('trouble.gone'), hint: t('trouble.goneHint'), own: null };
  const known = KNOWN.find((code) => code === why.code);
  if (!known) return { what: why.message, hint: why.hint, own: null };
  return { what: t(`trouble.${known}`), hint: t(`trouble.${known}Hint`), own: why.message };
}

/** Problems of a folder that have words of their own here; docs/api.md says what each means. */
export const PROBLEMS = [
  'folder_vanished',
  'disk_full',
  'quota',
  'unreadable',
  'skipped',
  'waiting',
  'not_empty',
  'not_written',
  'duplicated',
  'removed',
  'held_aside',
] as const;

/** Where in the folder's screens something can be done about a problem. */
const WHERE: Readonly<Record<string, string>> = { held_aside: 'people', waiting: 'missing', not_written: 'missing', quota: 'backups', removed: 'settings' };

/** What is the matter with a folder, and where to do something about it. */
export function problemTold(problem: { code: string; message: string; hint?: string | null }): {
  what: string;
  hint: string | null;
  own: string | null;
  at: string | null;
} {
  const at = WHERE[problem.code] ?? null;
  const known = PROBLEMS.find((code) => code === problem.code);
  if (!known) return { what: problem.message, hint: problem.hint ?? null, own: null, at };
  return { what: t(`problem.${known}`), hint: null, own: problem.message, at };
}
