import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Failure, GONE } from './api/failure';
import { KNOWN, told } from './troubles';

test('every code with words here is one of the service', () => {
  const documented = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');
  for (const code of KNOWN) expect(documented, code).toContain(`| \`${code}\` |`);
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
