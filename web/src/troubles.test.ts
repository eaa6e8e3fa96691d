import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Failure, GONE } from './api/failure';
import { KNOWN, PROBLEMS, problemsTold, told } from './troubles';

test('every code with words here is one of the service', () => {
  const documented = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');
  for (const code of [...KNOWN, ...PROBLEMS]) expect(documented, code).toContain(`| \`${code}\` |`);
});

test('a known refusal is in plain words, with the own words of the service beneath; an unknown one is as it came', () => {
  const spent = told(new Failure('code_spent', 'the code has been used', '`cobox devices link`', 409));
  expect(spent).toEqual({
    what: 'This code was used already, was closed, or its time is over.',
    hint: 'Ask for a new one.',
    own: 'the code has been used',
  });
  expect(told(new Failure('from_the_future', 'no', 'do it', 409))).toEqual({ what: 'no', hint: 'do it', own: null });
  expect(told(new Failure(GONE, '')).what).toBe('cobox does not answer.');
  expect(told(new Error('broken')).what).toBe('broken');
});

test('a known problem is in plain words and leads to where something can be done; an unknown one is as it came', () => {
  const [held] = problemsTold([{ code: 'held_aside', message: 'changes of Ben are held aside', hint: '`cobox quarantine list`' }]);
  expect([held?.what.startsWith('Somebody who was removed'), held?.hint, held?.at]).toEqual([true, null, 'people']);
  expect(problemsTold([{ code: 'from_the_future', message: 'no', hint: 'do it' }])).toEqual([
    { code: 'from_the_future', what: 'no', hint: 'do it', of: [{ path: null, own: null }], at: null },
  ]);
});

test('what is the matter with many files is said once; what has no words here, each time', () => {
  const skipped = ['a', 'b', 'c'].map((path) => ({ code: 'skipped', path, message: `${path} is not synced: a socket` }));
  const strange = [1, 2].map((n) => ({ code: 'from_the_future', message: `no ${n}` }));
  const all = problemsTold([...skipped, ...strange]);
  expect(all.map((one) => one.of.length)).toEqual([3, 1, 1]);
  expect(all[0]?.of.map((one) => one.path)).toEqual(['a', 'b', 'c']);
  expect(all[0]?.of[1]?.own).toBe('b is not synced: a socket');
});

test('what the service says itself stands there only if it says more', () => {
  const here = [
    { code: 'only_here', path: 'a', message: 'a was changed here, and you may only read this folder: nobody else has it' },
    { code: 'only_here', message: '12 more were changed here and are nobody else\'s' },
  ];
  expect(problemsTold(here)[0]?.of.map((one) => one.own)).toEqual([null, here[1]?.message]);
});
