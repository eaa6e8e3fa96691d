import { expect, test } from 'vitest';
import { called, sentence } from './activity';

const names = new Map([['ab'.repeat(32), 'Ben']]);

test('nobody is shown a key of 64 digits: members have names, a seeder is called as everywhere', () => {
  expect(called('ab'.repeat(32), names)).toBe('Ben');
  expect(called('0123456789abcdef'.repeat(4), names)).toBe('01234567');
  expect(called('shed', names)).toBe('shed');
  expect(called(null, names)).toBe('Somebody');
});

test('a sentence names the seeder and the folder', () => {
  const event = { id: 'r-1', at: '2026-11-22T14:00:00Z', kind: 'backup_complete', folder: 'f', path: null, who: 'cd'.repeat(32), message: '' } as const;
  expect(sentence(event, 'Choir', names)).toBe('Seeder cdcdcdcd has a complete copy of Choir.');
});
