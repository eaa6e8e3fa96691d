// Every screen, in light, dark, on a telephone and in other languages: axe finds nothing, nothing runs over the edge, and the keyboard
// alone gets everywhere.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { launch, open, shot } from './browser';
import { World } from './world';

let browser: Browser;
let world: World;
let folder: string;
beforeAll(async () => {
  browser = await launch();
  world = new World();
  const [ana, shed] = await Promise.all([world.person('Ana'), world.seeder('shed')]);
  for (const name of ['Choir', 'Minutes of the general assembly and all its committees since 1987']) {
    mkdirSync(join(ana.folder(name), 'Notes'), { recursive: true });
    for (let i = 0; i < 40; i++) writeFileSync(join(ana.folder(name), `song ${i}.txt`), 'la la\n'.repeat(i));
    writeFileSync(join(ana.folder(name), 'Notes', 'a very long name of a file that nobody would type by hand but that exists anyway.pdf'), 'x');
    await ana.type('create', ana.folder(name));
  }
  const { offer } = await shed.type('offer', '--space', '1GB');
  await ana.type('backup', 'add', 'Choir', offer);
  await ana.type('status', '--wait', '--timeout', '60');
  folder = (await ana.type('folders')).folders[0].id;
  people.ana = ana;
});
const people: { ana?: Awaited<ReturnType<World['person']>> } = {};
afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
afterAll(async () => {
  await browser?.close();
  await world?.end();
});

const SCREENS = () => [
  ['home', ''],
  ['overview', `folder/${folder}`],
  ['files', `folder/${folder}/files`],
  ['people', `folder/${folder}/people`],
  ['backups', `folder/${folder}/backups`],
  ['conflicts', `folder/${folder}/conflicts`],
  ['held', `folder/${folder}/held`],
  ['settings', `folder/${folder}/settings`],
  ['welcome', 'welcome'],
  ['new', 'new'],
  ['join', 'join'],
  ['recover', 'recover'],
  ['kit', 'kit'],
  ['activity', 'activity'],
  ['computer', 'computer'],
  ['about', 'about'],
  ['nothing', 'nothing/here'],
];

async function visit(page: Page, at: string): Promise<void> {
  await page.evaluate((hash) => void (location.hash = hash), `#/${at}`);
  await page.getByRole('heading', { level: 1 }).waitFor();
  // What it asks for first is there, and drawn.
  await page.waitForFunction(() => !document.querySelector('main [role=status]')?.textContent?.includes('…'));
  await page.evaluate(() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then))));
}

test.each([
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['phone', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
  ['phone-dark-de', { colorScheme: 'dark', viewport: { width: 360, height: 740 }, locale: 'de-DE' }],
  // 200 % zoom of a window of 1180 dots is a window of 590 with everything twice as large.
  ['zoomed-es', { viewport: { width: 590, height: 410 }, deviceScaleFactor: 2, locale: 'es-ES', reducedMotion: 'reduce' }],
] as const)('every screen, %s', async (look, options) => {
  if (!people.ana) throw new Error('nobody is there');
  const { page, wrong } = await open(browser, people.ana, options);
  for (const [name, at] of SCREENS()) {
    await visit(page, at ?? '');
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(over, `${name} runs over the edge`).toBeLessThanOrEqual(0);
    // Of a row of tabs that scrolls, the one that is open is in sight.
    for (const tab of await page.getByRole('main').getByRole('navigation').first().locator('[aria-current]').all()) {
      const box = await tab.boundingBox();
      const wide = page.viewportSize()?.width ?? 0;
      expect(box && box.x >= 0 && box.x + box.width <= wide, `${name}: its tab is in sight`).toBe(true);
    }
    await shot(page, `screen-${name}-${look}`);
  }
  expect(wrong).toEqual([]);
});

test('by the keyboard alone: to a file, a look at it, and back', async () => {
  if (!people.ana) throw new Error('nobody is there');
  const { page, wrong } = await open(browser, people.ana);
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
  const tabTo = async (text: string) => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      if ((await focused()) === text) return;
    }
    throw new Error(`Tab never comes to ${text}`);
  };
  await page.getByRole('article', { name: 'Choir' }).waitFor();
  await page.keyboard.press('Tab');
  expect(await focused()).toBe('Skip to the content');
  await tabTo('Choir');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Choir' }).waitFor();
  await tabTo('Files');
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineWidth);
  expect(Number.parseFloat(ring)).toBeGreaterThanOrEqual(2);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Notes' }).waitFor();
  await tabTo('Notes');
  await page.keyboard.press('End');
  await page.waitForFunction(() => document.activeElement?.textContent?.includes('song 9.txt'));
  await page.keyboard.press('ArrowUp');
  await page.waitForFunction(() => document.activeElement?.textContent?.includes('song 8.txt'));
  await page.keyboard.press('Enter');
  await page.frameLocator('iframe').getByText('la la').first().waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  expect(await focused()).toContain('song 8.txt');
  expect(wrong).toEqual([]);
});

test('the choice of language and look outlives the page, and so a restart', async () => {
  if (!people.ana) throw new Error('nobody is there');
  const first = await open(browser, people.ana);
  await visit(first.page, 'computer');
  await first.page.getByRole('combobox', { name: 'Language', exact: true }).selectOption('de');
  await first.page.getByRole('heading', { name: 'Dieser Rechner' }).waitFor();
  await first.page.getByRole('combobox', { name: 'Aussehen', exact: true }).selectOption('dark');
  await first.page.waitForFunction(() => document.documentElement.dataset.look === 'dark');
  await people.ana.down();
  await people.ana.up();
  // The page that was open says that it must be opened anew, once it notices.
  const link = await people.ana.link();
  const page = await (await browser.newContext({ locale: 'en-US' })).newPage();
  await page.goto(link);
  await page.getByRole('link', { name: 'Dieser Rechner' }).waitFor();
  expect(await page.evaluate(() => [document.documentElement.lang, document.documentElement.dataset.look])).toEqual(['de', 'dark']);
  await visit(page, 'computer');
  await page.getByRole('combobox', { name: 'Sprache', exact: true }).selectOption('en');
  await page.getByRole('heading', { name: 'This computer' }).waitFor();
});
