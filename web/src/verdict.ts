// Is this folder safe? One verdict for a folder, from what the service knows for certain: a seeder's signature over the newest state,
// or a connected member who says to have it whole. Pure, so that every line of it is tested.
//
// What must hold: "safe" is never said while the newest state lies on this computer alone, or while something is wrong.

import type { Schemas } from './api/client';

export type FolderStatus = Schemas['FolderStatus'];

/** From bad to good. */
export type Verdict = 'problem' | 'waiting' | 'alone' | 'paused' | 'apart' | 'moving' | 'shared' | 'safe';

/** Problems that are news rather than trouble; docs/api.md says which leave the state as it is. What is held aside may lie there for
 *  ever: nothing of the folder depends on it. */
const MILD = new Set(['skipped', 'waiting', 'held_aside', 'older_shown']);
/** What stands on this computer alone: told together, as one thing and not as trouble. */
const OWN = new Set(['only_here', 'unsent']);

export function seriousProblems(folder: FolderStatus): FolderStatus['problems'] {
  return folder.problems.filter((problem) => !MILD.has(problem.code) && !OWN.has(problem.code));
}

const hasProblem = (folder: FolderStatus, code: string) => folder.problems.some((problem) => problem.code === code);

/** Whether one changed something here who may only read, so that nobody else has it. */
export function hasOwnEdits(folder: FolderStatus): boolean {
  return hasProblem(folder, 'only_here');
}

/** Whether something of somebody who was sent away is kept, to be taken in or not. */
export function hasHeldAside(folder: FolderStatus): boolean {
  return hasProblem(folder, 'held_aside');
}

/** Whether one does not belong to it any more. */
export function isOut(folder: FolderStatus): boolean {
  return hasProblem(folder, 'removed');
}

/** Where the newest state lies whole, besides here. */
export function copies(folder: FolderStatus): { backups: number; members: number } {
  return {
    backups: folder.backups.filter((backup) => backup.complete).length,
    members: folder.members.filter((member) => !member.you && member.in_step).length,
  };
}

export function verdictOf(folder: FolderStatus): Verdict {
  if (seriousProblems(folder).length > 0 || (folder.state === 'problem' && !hasOwnEdits(folder))) return 'problem';
  if (folder.state === 'held' || folder.held_changes > 0 || hasOwnEdits(folder)) return 'waiting';
  if (folder.state === 'paused') return 'paused';
  // Files are missing here, and nobody is there who could bring them: nothing moves.
  if (folder.state === 'offline' && folder.pending_files > 0) return 'apart';
  if (folder.state === 'syncing' || folder.pending_files > 0) return 'moving';
  const { backups, members } = copies(folder);
  if (backups > 0) return 'safe';
  return members > 0 ? 'shared' : 'alone';
}

/** What a person has to decide. */
export function waitingFor(folder: FolderStatus): number {
  return folder.conflicts + folder.held_changes + (folder.joins_waiting ?? 0) + seriousProblems(folder).length + (hasOwnEdits(folder) ? 1 : 0);
}

const ORDER: readonly Verdict[] = ['problem', 'waiting', 'alone', 'paused', 'apart', 'moving', 'shared', 'safe'];

/** The verdict over all folders: the worst. */
export function worst(folders: readonly FolderStatus[]): Verdict {
  const all = folders.map(verdictOf);
  return ORDER.find((verdict) => all.includes(verdict)) ?? 'safe';
}
