import { expect, test } from 'vitest';
import { groups, nameOf, parentOf, Past, presentPaths, runs, toInput, toService, type Change } from './past.svelte';

const change = (change: Change['change'], path: string, from_path: string | null = null): Change => ({
  at: '2026-11-22T14:00:00Z',
  by: 'Ana',
  device: null,
  path,
  change,
  kind: 'file',
  size_bytes: 1,
  from_path,
  state: '',
});

test('a version is found under the name its file has now, through all renames since', () => {
  const newestFirst = [
    change('renamed', 'c', 'b'),
    change('edited', 'b'),
    change('renamed', 'b', 'a'),
    change('edited', 'a'),
    change('renamed', 'Music/new', 'Music/old'),
    change('renamed', 'Music', 'Tunes'),
    change('created', 'Tunes/old'),
    change('created', 'Tunes-2/x'),
  ];
  expect(presentPaths(newestFirst)).toEqual(['c', 'c', 'c', 'c', 'Music/new', 'Music', 'Music/new', 'Tunes-2/x']);
});

test('an empty page is not the end: the next one is read until there is something', async () => {
  const asked: (string | null)[] = [];
  const pages: Record<string, { entries: Change[]; next: string | null; thinned: boolean }> = {
    '': { entries: [], next: '1', thinned: false },
    '1': { entries: [], next: '2', thinned: true },
    '2': { entries: [change('edited', 'x')], next: '3', thinned: false },
    '3': { entries: [change('created', 'x')], next: null, thinned: false },
  };
  const past = new Past(async (from) => {
    asked.push(from);
    return pages[from ?? ''] ?? { entries: [], next: null, thinned: false };
  });
  await past.renew();
  expect([asked, past.entries?.length, past.thinned, past.goesOn]).toEqual([[null, '1', '2'], 1, true, true]);
  await past.more();
  expect([past.entries?.map((one) => one.change), past.goesOn]).toEqual([['edited', 'created'], false]);
});

test('what is asked for in a crowd is read once more after the first answer, and the later answer stands', async () => {
  const answers: ((page: { entries: Change[]; next: null; thinned: boolean }) => void)[] = [];
  const past = new Past(() => new Promise((then) => answers.push(then)));
  const all = [past.renew(), past.renew(), past.renew()];
  expect(answers.length).toBe(1);
  answers[0]?.({ entries: [change('edited', 'old')], next: null, thinned: false });
  await expect.poll(() => answers.length).toBe(2);
  expect(past.entries?.[0]?.path).toBe('old');
  answers[1]?.({ entries: [change('edited', 'new')], next: null, thinned: false });
  await Promise.all(all);
  expect([past.entries?.[0]?.path, answers.length]).toEqual(['new', 2]);
});

test('groups and runs', () => {
  const first = (text: string) => text[0] ?? '';
  expect(runs(['a1', 'a2', 'b1', 'a3'], first).map((run) => run.of)).toEqual([['a1', 'a2'], ['b1'], ['a3']]);
  expect(groups(['a1', 'b1', 'a2'], first).map((group) => group.of)).toEqual([['a1', 'a2'], ['b1']]);
  expect([parentOf('a/b/c'), parentOf('c'), nameOf('a/b/c'), nameOf('c')]).toEqual(['a/b', '', 'c', 'c']);
});

test('a moment goes to the service in UTC to the second, and comes back from the field as the same', () => {
  const at = new Date(2026, 10, 22, 14, 5, 9, 700);
  expect(new Date(toInput(at)).getTime()).toBe(at.getTime() - 700);
  expect(toService(new Date('2026-11-22T14:05:09.700Z'))).toBe('2026-11-22T14:05:09Z');
});
