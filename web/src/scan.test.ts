import { decodeQR } from 'qr/decode.js';
import { encode } from 'uqr';
import { expect, test } from 'vitest';
import { begins, fitted } from './scan';

test('a code is known by how it begins', () => {
  expect(begins(' CBI1ABC', ['cbi1'])).toBe(true);
  expect(begins('cbo1abc', ['cbi1', 'cbo1'])).toBe(true);
  expect(begins('https://example.org/cbi1', ['cbi1'])).toBe(false);
  expect(begins('', ['cbi1'])).toBe(false);
});

test('what is large is looked at smaller, and nothing is stretched', () => {
  expect(fitted(640, 480)).toEqual([640, 480]);
  expect(fitted(4000, 3000)).toEqual([1280, 960]);
  expect(fitted(1, 5000)).toEqual([1, 1280]);
});

// What one part of the page draws another has to read, up to the longest that is drawn.
test.each([20, 300, 1200])('a drawn code of %i letters is read', (length) => {
  const text = `cbi1${'abcdefghijklmnopqrstuvwxyz234567'.repeat(40)}`.slice(0, length);
  const { data, size } = encode(text, { ecc: 'L', border: 2 });
  const scale = 4;
  const side = size * scale;
  const dots = new Uint8ClampedArray(side * side * 4);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const dark = data[Math.floor(y / scale)]?.[Math.floor(x / scale)];
      dots.set(dark ? [0, 0, 0, 255] : [255, 255, 255, 255], 4 * (y * side + x));
    }
  }
  expect(decodeQR({ width: side, height: side, data: dots }, { effort: 4, timeLimit: 5_000 })).toBe(text);
});
