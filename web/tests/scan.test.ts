// A code that is drawn on one screen is read from another, by a camera and from a picture. The camera is Chromium's own that plays a file: so it
// is tried that the page asks for it, looks at what it shows and lets it go; not how real lenses and light do.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encode } from 'uqr';
import { launch, open, shot } from './browser';
import { choir, grey } from './story';
import { until, World } from './world';

let browser: Browser | null = null;
let world: World;
let dir: string;
beforeEach(() => {
  world = new World();
  dir = mkdtempSync(join(tmpdir(), 'cobox-scan-'));
});
afterEach(async () => {
  await browser?.close();
  browser = null;
  await world.end();
  rmSync(dir, { recursive: true, force: true });
});

const [WIDTH, HEIGHT] = [960, 720];

/** The code in the middle of something grey, as a camera would have it. */
function drawn(text: string): Buffer {
  const { data, size } = encode(text, { ecc: 'L', border: 4 });
  const scale = Math.floor(HEIGHT / size);
  const [left, top] = [(WIDTH - size * scale) >> 1, (HEIGHT - size * scale) >> 1];
  const dots = Buffer.alloc(WIDTH * HEIGHT, 120);
  for (let y = 0; y < size * scale; y++) {
    for (let x = 0; x < size * scale; x++) {
      dots[(top + y) * WIDTH + left + x] = data[Math.floor(y / scale)]?.[Math.floor(x / scale)] ? 30 : 225;
    }
  }
  return dots;
}

/** A film of a few pictures, all alike: YUV4MPEG2. */
function film(dots: Buffer): Buffer {
  const frame = Buffer.concat([Buffer.from('FRAME\n'), dots, Buffer.alloc((WIDTH * HEIGHT) / 2, 128)]);
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F10:1 Ip A1:1 C420jpeg\n`), ...Array.from({ length: 5 }, () => frame)]);
}

test('an invite is read by the camera, after a press alone, and the camera is let go', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const { code } = await ana.type('invite', 'Choir', '--to', (await ben.type('whoami')).cobox_key);
  writeFileSync(join(dir, 'camera.y4m'), film(drawn(code)));
  browser = await launch(['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${join(dir, 'camera.y4m')}`]);
  const { page, wrong } = await open(browser, ben);
  // What is asked of the browser is counted, and what it gave is kept to look at.
  await page.evaluate(() => {
    const given: MediaStream[] = [];
    Object.assign(window, { given });
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await ask(wanted);
      given.push(stream);
      return stream;
    };
  });
  const cameras = () => page.evaluate(() => (window as unknown as { given: MediaStream[] }).given.map((one) => one.getTracks().map((track) => track.readyState).join()));
  await page.getByRole('link', { name: 'Join with a code' }).first().click();
  expect(await cameras()).toEqual([]);
  await page.getByRole('button', { name: 'Scan a code' }).click();
  const field = page.getByLabel('Invite code');
  await until('the code is read', async () => (await field.inputValue()) === code);
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect(await cameras()).toEqual(['ended']);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByRole('heading', { name: 'Choir', level: 1 }).waitFor();
  expect(wrong).toEqual([]);
});

test('without a camera a picture does; another sort of code, and a picture without one, are said', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const { code } = await ana.type('invite', 'Choir', '--to', (await ben.type('whoami')).cobox_key);
  browser = await launch();
  const { page, wrong } = await open(browser, ben);
  await page.getByRole('link', { name: 'Join with a code' }).first().click();
  await page.getByRole('button', { name: 'Scan a code' }).click();
  const dialog = page.getByRole('dialog', { name: 'Scan a code' });
  await dialog.getByRole('alert').getByText(/A picture of the code does as well\.$/).waitFor();
  await shot(page, '9-scan');
  const choose = (name: string, dots: Buffer) =>
    dialog.getByLabel('Or take it from a picture').setInputFiles({ name, mimeType: 'image/png', buffer: grey(dots, WIDTH, HEIGHT) });
  await choose('empty.png', Buffer.alloc(WIDTH * HEIGHT, 200));
  await dialog.getByText('There is no code in this picture that can be read.').waitFor();
  await choose('other.png', drawn('cbo1somethingelse'));
  await dialog.getByText('This is another sort of code than the one that is asked for here.').waitFor();
  await choose('invite.png', drawn(code));
  await dialog.waitFor({ state: 'detached' });
  await until('the code is taken over', async () => (await page.getByLabel('Invite code').inputValue()) === code);
  expect(wrong).toEqual([]);
});
