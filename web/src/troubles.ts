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
  'join_not_found',
  'device_not_found',
  'held_not_found',
  'held_aside_not_found',
  'keys_awaited',
  'stopping',
  'last_copy',
] as const;

/** Whether it was refused since it may be the last whole copy; asked once more, after that was read, it is done. */
export function isLastCopy(why: unknown): boolean {
  return why instanceof Failure && why.code === 'last_copy';
}

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
  'only_here',
  'unsent',
  'not_kept',
  'not_opened',
  'older_shown',
  'drill_failed',
] as const;

/** Where in the folder's screens something can be done about a problem. */
const WHERE: Readonly<Record<string, string>> = {
  held_aside: 'people',
  waiting: 'missing',
  not_written: 'missing',
  quota: 'backups',
  drill_failed: 'backups',
  removed: 'settings',
  skipped: 'settings',
  only_here: 'edits',
  unsent: 'edits',
};

/** Of these the service's own words say nothing that is not said already, as long as they are about one file or none. */
const REPEATS = new Set(['removed', 'held_aside', 'only_here', 'unsent', 'waiting']);
const MORE = /^\d+ more /;

type Problem = { code: string; path?: string | null; message: string; hint?: string | null };

/** What is the matter with a folder, and where to do something about it. */
export interface ProblemTold {
  code: string;
  what: string;
  hint: string | null;
  /** What it is about, each with the service's own words where they say more. */
  of: { path: string | null; own: string | null }[];
  at: string | null;
}

/** All that is the matter: what has words of its own here is said once, however many files it is about. */
export function problemsTold(problems: readonly Problem[]): ProblemTold[] {
  const all: ProblemTold[] = [];
  for (const problem of problems) {
    const path = problem.path ?? null;
    const own = REPEATS.has(problem.code) && !MORE.test(problem.message) ? null : problem.message;
    const known = PROBLEMS.find((code) => code === problem.code);
    const same = known && all.find((one) => one.code === known);
    if (same) same.of.push({ path, own });
    else {
      all.push({
        code: problem.code,
        what: known ? t(`problem.${known}`) : problem.message,
        hint: known ? null : (problem.hint ?? null),
        of: [{ path, own: known ? own : null }],
        at: WHERE[problem.code] ?? null,
      });
    }
  }
  return all;
}
