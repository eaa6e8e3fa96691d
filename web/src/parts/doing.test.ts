import { expect, test } from 'vitest';
import { Doing, Reading } from './doing.svelte';

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
