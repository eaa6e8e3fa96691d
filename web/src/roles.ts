// What members may do, in words.

import type { Schemas } from './api/client';
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
