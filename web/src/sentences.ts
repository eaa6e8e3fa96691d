// How a folder stands, in sentences. What is counted where is `verdict.ts`'s; this puts it into words.

import { copies, hasOwnEdits, isOut, verdictOf, type FolderStatus } from './verdict';
import { ago, list, since, t } from './words/words.svelte';

const NAMED_MAX = 3;

/** The verdict. */
export function headline(folder: FolderStatus): string {
  const { backups, members } = copies(folder);
  switch (verdictOf(folder)) {
    case 'problem':
      return isOut(folder) ? t('verdict.out') : t('verdict.problem');
    case 'waiting':
      return t('verdict.waiting');
    case 'paused':
      return t('verdict.paused');
    case 'apart':
      return t('verdict.apart');
    case 'moving':
      return t('verdict.moving');
    case 'alone':
      return t('verdict.alone');
    case 'shared':
      return t('verdict.shared');
    case 'safe':
      return t('verdict.safe', { n: backups + members });
  }
}

/** Ben and Carla are here. */
export function whoIsHere(folder: FolderStatus): string {
  const others = folder.members.filter((member) => !member.you);
  if (others.length === 0) return t('people.none');
  const here = others.filter((member) => member.online).map((member) => member.name);
  if (here.length === 0) {
    const seen = others.flatMap((member) => (member.last_seen ? [{ name: member.name, at: member.last_seen }] : []));
    const last = seen.sort((a, b) => b.at.localeCompare(a.at))[0];
    return last ? t('people.away', { name: last.name, time: ago(last.at) }) : t('people.nobody', { n: others.length });
  }
  const named = here.slice(0, NAMED_MAX);
  const names = here.length > named.length ? [...named, t('people.more', { n: here.length - named.length })] : named;
  return t('people.here', { n: here.length, names: list(names) });
}

/** Who else has which file open, in one line; nothing if nobody has. */
export function whatIsOpen(folder: FolderStatus): string {
  const open = folder.editing ?? [];
  const [first] = open;
  if (!first) return '';
  if (open.length > 1) return t('open.many', { n: open.length });
  return t('open.one', { who: first.by, path: first.path, time: since(first.since) });
}

/** How one backup stands. */
export function backupStands(backup: FolderStatus['backups'][number]): string {
  if (backup.complete) return backup.receipt_at ? t('backup.complete', { time: ago(backup.receipt_at) }) : t('backup.completeNow');
  if (backup.receipt_at) return t('backup.behind', { time: ago(backup.head_at ?? backup.receipt_at) });
  return backup.online ? t('backup.copying') : t('backup.never');
}

/** Where copies lie, and how old. */
export function whereCopiesLie(folder: FolderStatus): string {
  const [first] = folder.backups;
  if (!first) return t('backup.none');
  if (folder.backups.length === 1) return t('backup.one', { name: first.seeder, stands: backupStands(first) });
  const { backups } = copies(folder);
  const newest = folder.backups.flatMap((backup) => backup.receipt_at ?? []).sort().at(-1);
  return t('backup.many', { complete: backups, n: folder.backups.length }) + (newest ? ` · ${ago(newest)}` : '');
}

/** Why the verdict is what it is, and where to do something about it; nothing where all is well. */
export function headlineWhy(folder: FolderStatus): { text: string; at: string | null; label: string } | null {
  switch (verdictOf(folder)) {
    case 'waiting':
      return hasOwnEdits(folder) && folder.held_changes === 0
        ? { text: t('why.edits'), at: 'edits', label: t('why.waitingDo') }
        : { text: t('why.waiting'), at: 'held', label: t('why.waitingDo') };
    case 'apart':
      return { text: t('why.apart'), at: 'missing', label: t('missing.see') };
    case 'paused':
      return { text: t('why.paused'), at: null, label: '' };
    case 'alone':
      return folder.backups.length > 0
        ? { text: t('why.aloneBehind'), at: null, label: '' }
        : { text: t('why.alone'), at: 'backups', label: t('why.aloneDo') };
    case 'shared':
      return folder.backups.length > 0 ? null : { text: t('why.shared'), at: 'backups', label: t('why.aloneDo') };
    default:
      return null;
  }
}
