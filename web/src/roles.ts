// What members may do: oneself in a folder, and each role in words.

import type { Schemas } from './api/client';
import type { FolderStatus } from './verdict';
import { t } from './words/words.svelte';

export type Role = Schemas['Role'];

/** From the least to the most. */
export const RANK: readonly Role[] = ['reader', 'editor', 'admin', 'owner'];

export function roleName(role: Role): string {
  return t(`role.${role}`);
}

export function roleText(role: Role): string {
  return role === 'owner' ? t('member.ownerText') : t(`role.${role}Text`);
}

/** One's own role in a folder; none where one is no member (any more). */
export function ownRole(folder: FolderStatus): Role | null {
  return folder.members.find((member) => member.you)?.role ?? null;
}

/** Whether one may change what is in it. */
export function mayWrite(folder: FolderStatus): boolean {
  return ownRole(folder) !== 'reader';
}

/** Whether one may let people in and send them away, and place backups. */
export function mayManage(folder: FolderStatus): boolean {
  const role = ownRole(folder);
  return role === 'owner' || role === 'admin';
}
