import { expect, test } from 'vitest';
import { dropped } from './dropped';

type Tree = { [name: string]: Tree | string };

/** As a browser hands over a directory: in pieces, with an empty one at the end. */
function entry(name: string, what: Tree | string): FileSystemEntry {
  if (typeof what === 'string') return { name, isFile: true, file: (then: (file: File) => void) => then(new File([what], name)) } as unknown as FileSystemEntry;
  const left = Object.entries(what).map(([name, inside]) => entry(name, inside));
  const readEntries = (then: (some: FileSystemEntry[]) => void) => then(left.splice(0, 2));
  return { name, isFile: false, createReader: () => ({ readEntries }) } as unknown as FileSystemEntry;
}
const item = (name: string, what: Tree | string) => ({ kind: 'file', webkitGetAsEntry: () => entry(name, what), getAsFile: () => null }) as unknown as DataTransferItem;

test('a directory comes with all that is in it, each file with its path', async () => {
  const songs = { 'a.txt': 'a', 'b.txt': 'b', 'c.txt': 'c', old: { 'd.txt': 'd' } };
  const files = await dropped([item('Songs', songs), item('e.txt', 'e')]);
  expect(files.map((one) => one.path)).toEqual(['Songs/a.txt', 'Songs/b.txt', 'Songs/c.txt', 'Songs/old/d.txt', 'e.txt']);
  expect(await files[3]?.file.text()).toBe('d');
});

test('where the browser knows no directories, files come all the same; a dropped text is none', async () => {
  const plain = { kind: 'file', webkitGetAsEntry: () => null, getAsFile: () => new File(['x'], 'x.txt') } as unknown as DataTransferItem;
  const text = { kind: 'string' } as unknown as DataTransferItem;
  expect((await dropped([text, plain])).map((one) => one.path)).toEqual(['x.txt']);
});
