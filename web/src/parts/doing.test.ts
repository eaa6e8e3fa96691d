import { expect, test } from 'vitest';
import { Deed, Doing, Reading } from './doing.svelte';

const gate = () => {
  let open = () => {};
  const opened = new Promise<void>((then) => (open = then));
  return { open: () => open(), opened };
};

test('what is being done is not done twice', async () => {
  const doing = new Doing();
  const { open, opened } = gate();
  const first = doing.do(() => opened);
  expect(await doing.do(async () => {})).toBe(false);
  open();
  expect(await first).toBe(true);
});

test('what changed while it was being read is read again, and whoever asks waits for that', async () => {
  const reading = new Reading();
  const { open, opened } = gate();
  let truth = 'old';
  let seen = '';
  let turns = 0;
  const read = () =>
    reading.read(async () => {
      const found = truth;
      if (turns++ === 0) await opened;
      seen = found;
    });
  void read();
  truth = 'new';
  const second = read();
  void read();
  open();
  await second;
  expect([seen, turns]).toEqual(['new', 2]);
});

test('a refusal is kept until it works', async () => {
  const reading = new Reading();
  await reading.read(async () => Promise.reject(new Error('no')));
  expect((reading.why as Error).message).toBe('no');
  await reading.read(async () => {});
  expect(reading.why).toBeNull();
});

test('a deed is done only to what was asked about, and what came of it stays to be seen', async () => {
  const acts: string[] = [];
  const deed = new Deed(
    async (what: string, dryRun) => {
      acts.push(`${what} ${dryRun}`);
      return `${what} ${dryRun ? 'would be' : 'is'} done`;
    },
    () => acts.push('after'),
  );
  expect(await deed.do()).toBe(false);
  await deed.choose('a');
  expect([deed.asking, deed.would, deed.did]).toEqual(['a', 'a would be done', null]);
  expect(await deed.do()).toBe(true);
  expect([deed.asking, deed.would, deed.did]).toEqual([null, null, 'a is done']);
  expect(acts).toEqual(['a true', 'a false', 'after']);
});

test('an answer about what is not asked about any more is not shown, and does not keep the next from being asked', async () => {
  const { open, opened } = gate();
  const deed = new Deed(async (what: string) => {
    if (what === 'slow') await opened;
    return what;
  });
  const first = deed.choose('slow');
  deed.cancel();
  await deed.choose('quick');
  open();
  await first;
  expect([deed.asking, deed.would, deed.looking]).toEqual(['quick', 'quick', false]);
});

test('a deed that is refused stays asked about, with the refusal', async () => {
  const deed = new Deed(async (_: string, dryRun) => {
    if (!dryRun) throw new Error('no');
  });
  await deed.choose('a');
  expect(await deed.do()).toBe(false);
  expect([deed.asking, (deed.why as Error).message, deed.busy]).toEqual(['a', 'no', false]);
});
