import { expect, test } from 'vitest';
import { kindOfPreview, typeOfPreview } from './preview';

test('nothing that could hold a program is shown as anything but text', () => {
  for (const name of ['a.svg', 'a.html', 'a.HTM', 'a.xml', 'a.js', 'a.txt']) {
    expect(kindOfPreview(name)).toBe('text');
    expect(typeOfPreview(name)).toBe('text/plain;charset=utf-8');
  }
  for (const name of ['a.pdf', 'a.exe', 'a', '.png', 'a.constructor', 'a.__proto__', 'a.png.exe']) expect(kindOfPreview(name), name).toBeNull();
  expect([kindOfPreview('a.JPG'), typeOfPreview('a.JPG')]).toEqual(['image', 'image/jpeg']);
});
