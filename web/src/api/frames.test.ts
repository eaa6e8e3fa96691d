import { expect, test } from 'vitest';
import { frames } from './frames';

test('events are cut at empty lines, wherever the network cut them', () => {
  const cut = frames();
  expect(cut('id: r-1\nda')).toEqual([]);
  expect(cut('ta: {"a":1}\n')).toEqual([]);
  expect(cut('\n: alive\n\ndata:{"b":2}\n\ndata: x')).toEqual(['{"a":1}', '{"b":2}']);
  expect(cut('\ndata: y\n\n')).toEqual(['x\ny']);
});
