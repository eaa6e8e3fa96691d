import { expect, test } from 'vitest';
import type { Dropped } from './dropped';
import { Uploads } from './uploads.svelte';

const files = (...paths: string[]): Dropped[] => paths.map((path) => ({ path, file: new File([path], path) }));

test('one that fails stops none of the rest, and a name that was taken is told', async () => {
  const uploads = new Uploads(async (path, file) => {
    if (path === 'b') throw new Error('no');
    return { path: path === 'c' ? 'c~2' : path, size_bytes: file.size };
  });
  await uploads.put(files('a', 'b', 'c'));
  expect([uploads.added, uploads.now]).toEqual([2, null]);
  expect(uploads.failed.map((one) => one.path)).toEqual(['b']);
  expect(uploads.renamed).toEqual([{ from: 'c', to: 'c~2' }]);
});

test('who has enough ends it: what goes is broken off, what is left does not go', async () => {
  const sent: string[] = [];
  const uploads: Uploads = new Uploads((path, _, progress, signal) => {
    sent.push(path);
    return new Promise((_, failed) => {
      signal.addEventListener('abort', () => failed(new Error('broken off')));
      progress(0.5);
      queueMicrotask(() => uploads.cancel());
    });
  });
  await uploads.put(files('a', 'b'));
  expect([sent, uploads.added, uploads.failed]).toEqual([['a'], 0, []]);
});

test('how much has gone is counted over all of them', async () => {
  const seen: number[] = [];
  const uploads: Uploads = new Uploads(async (path, file, progress) => {
    progress(1);
    seen.push(uploads.now?.part ?? NaN);
    return { path, size_bytes: file.size };
  });
  await uploads.put(files('abc', 'd', ''));
  expect(seen).toEqual([3 / 7, 5 / 7, 6 / 7]);
});
