import { expect, test } from 'vitest';
import { ROWS_MAX, sideBySide } from './differences';

test('what changed stands opposite to what it became', () => {
  const { rows, cut } = sideBySide('@@ -1,4 +1,4 @@\n same\n-one\n-two\n+eins\n end\n@@ -9 +9,2 @@\n-x\n\\ No newline at end of file\n+x\n+y\n');
  expect(cut).toBe(false);
  expect(rows).toEqual([
    { gap: false, left: 'same', right: 'same', same: true },
    { gap: false, left: 'one', right: 'eins', same: false },
    { gap: false, left: 'two', right: null, same: false },
    { gap: false, left: 'end', right: 'end', same: true },
    { gap: true },
    { gap: false, left: 'x', right: 'x', same: false },
    { gap: false, left: null, right: 'y', same: false },
  ]);
});

test('texts that look like the marks of a comparison are texts', () => {
  const { rows } = sideBySide('@@ -1 +1 @@\n---- a\n++++ b\n-@@ x\n');
  expect(rows).toEqual([
    { gap: false, left: '--- a', right: '+++ b', same: false },
    { gap: false, left: '@@ x', right: null, same: false },
  ]);
});

test('long comparisons and long lines end somewhere, and the same text has no difference', () => {
  const long = sideBySide(`@@ -1 +1 @@\n${'-x\n'.repeat(ROWS_MAX + 1)}`);
  expect([long.rows.length, long.cut]).toEqual([ROWS_MAX, true]);
  const [row] = sideBySide(`@@ -1 +1 @@\n-${'x'.repeat(5_000)}\n`).rows;
  expect(row && !row.gap ? row.left?.length : 0).toBe(1_001);
  expect(sideBySide('').rows).toEqual([]);
});
