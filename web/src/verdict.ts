// Is this folder safe? One verdict for a folder, from what the service knows for certain: a seeder's signature over the newest state,
// or a connected member who says to have it whole. Pure, so that every line of it is tested.
//
// What must hold: "safe" is never said while the newest state lies on this computer alone, or while something is wrong.

import type { Schemas } from './api/client';

export type FolderStatus = Schemas['FolderStatus'];

/** From bad to good. */
export type Verdict = 'problem' | 'waiting' | 'alone' | 'paused' | 'moving' | 'shared' | 'safe';

/** Problems that are news rather than trouble; docs/api.md says which leave the state as it is. */
const MILD = new Set(['skipped', 'waiting']);

export function seriousProblems(folder: FolderStatus): FolderStatus['problems'] {
  return folder.problems.filter((problem) => !MILD.has(problem.code));
}

/** Where the newest state lies whole, besides here. */
export function copies(folder: FolderStatus): { backups: number; members: number } {
  return {
    backups: folder.backups.filter((backup) => backup.complete).length,
    members: folder.members.filter((member) => !member.you && member.in_step).length,
  };
}

export function verdictOf(folder: FolderStatus): Verdict {
  if (folder.state === 'problem' || seriousProblems(folder).length > 0) return 'problem';
  if (folder.state === 'held' || folder.held_changes > 0) return 'waiting';
  if (folder.state === 'paused') return 'paused';
  if (folder.state === 'syncing' || folder.pending_files > 0) return 'moving';
  const { backups, members } = copies(folder);
  if (backups > 0) return 'safe';
  return members > 0 ? 'shared' : 'alone';
}

/** What a person has to decide. */
export function waitingFor(folder: FolderStatus): number {
  return folder.conflicts + folder.held_changes + seriousProblems(folder).length;
}

const ORDER: readonly Verdict[] = ['problem', 'waiting', 'alone', 'paused', 'moving', 'shared', 'safe'];

/** The verdict over all folders: the worst. */
export function worst(folders: readonly FolderStatus[]): Verdict {
  const all = folders.map(verdictOf);
  return ORDER.find((verdict) => all.includes(verdict)) ?? 'safe';
}
