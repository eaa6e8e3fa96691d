import { expect, test } from 'vitest';
import { de } from './de';
import { en } from './en';
import { es } from './es';
import { fill, preferred } from './words.svelte';

const placeholders = (text: unknown) => {
  const all = typeof text === 'string' ? [text] : Object.values(text as Record<string, string>);
  return [...new Set(all.flatMap((one) => [...one.matchAll(/\{(\w+)\}/g)].map((found) => found[1])))].sort();
};

test.each([
  ['de', de],
  ['es', es],
])('%s has every text of the English catalogue, each with its placeholders, and no other', (_, words) => {
  expect(Object.keys(words).sort()).toEqual(Object.keys(en).sort());
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    expect(placeholders(words[key]), key).toEqual(placeholders(en[key]));
    expect(typeof words[key], key).toBe(typeof en[key]);
  }
});

test('no text of a screen has a word that never stands there', () => {
  const never = /\b(nodes?|peers?|epochs?|blocks?|chunks?|DAG|CRDT|shards?|CID|daemon)\b/i;
  for (const [key, text] of Object.entries(en)) expect(JSON.stringify(text), key).not.toMatch(never);
});

test('values are put in as they are', () => {
  expect(fill('{name} has {n}', { name: '{n}<b>', n: 3 })).toBe('{n}<b> has 3');
  expect(fill('{missing}', {})).toBe('{missing}');
});

test('the first language of the browser that the page has', () => {
  expect(preferred(['fr-FR', 'de-AT', 'en'])).toBe('de');
  expect(preferred(['fr'])).toBe('en');
});
