// Every screen, in light, dark, on a telephone and in other languages: axe finds nothing, nothing runs over the edge, and the keyboard
// alone gets everywhere.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { focusOn, launch, leave, open, shot, tabTo } from './browser';
import { bothWrite, inStep, joins, nextSecond, png } from './story';
import { World } from './world';

let browser: Browser;
let world: World;
let folder: string;
beforeAll(async () => {
  browser = await launch();
  world = new World();
  const [ana, ben, shed] = await Promise.all([world.person('Ana'), world.person('Ben'), world.seeder('shed')]);
  for (const name of ['Choir', 'Minutes of the general assembly and all its committees since 1987']) {
    mkdirSync(join(ana.folder(name), 'Notes'), { recursive: true });
    for (let i = 0; i < 40; i++) writeFileSync(join(ana.folder(name), `song ${i}.txt`), 'la la\n'.repeat(i));
    writeFileSync(join(ana.folder(name), 'Notes', 'a very long name of a file that nobody would type by hand but that exists anyway.pdf'), 'x');
    await ana.type('create', ana.folder(name));
  }
  const { offer } = await shed.type('offer', '--space', '1GB');
  await ana.type('backup', 'add', 'Choir', offer);
  await joins(ana, ben);
  // A past, a file that is gone, an open invite, and two files with two versions.
  await nextSecond();
  writeFileSync(join(ana.folder('Choir'), 'song 9.txt'), 'la la\nli li\n');
  rmSync(join(ana.folder('Choir'), 'song 39.txt'));
  await inStep(ana, ben);
  await ana.type('invite', 'Choir', '--to', (await ben.type('whoami')).cobox_key, '--role', 'reader');
  await bothWrite(ana, ben, 'song 12.txt', 'la la\nAna sings higher and higher, far above the others and without end\n', 'la la\nBen sings lower\nand longer\n');
  await bothWrite(ana, ben, 'cover.png', png([20, 120, 40], 900, 600), png([30, 60, 180], 900, 600));
  await inStep(ana, ben);
  folder = (await ana.type('folders')).folders[0].id;
  people.ana = ana;
});
const people: { ana?: Awaited<ReturnType<World['person']>> } = {};
afterEach((story) => leave(browser, story));
afterAll(async () => {
  await browser?.close();
  await world?.end();
});

const SCREENS = () => [
  ['home', ''],
  ['overview', `folder/${folder}`],
  ['files', `folder/${folder}/files`],
  ['missing', `folder/${folder}/missing`],
  ['edits', `folder/${folder}/edits`],
  ['history', `folder/${folder}/history`],
  ['versions', `folder/${folder}/versions/song 9.txt`],
  ['trash', `folder/${folder}/trash`],
  ['undo', `folder/${folder}/undo/${new Date(Date.now() - 60_000).toISOString()}`],
  ['people', `folder/${folder}/people`],
  ['backups', `folder/${folder}/backups`],
  ['conflicts', `folder/${folder}/conflicts`],
  ['held', `folder/${folder}/held`],
  ['settings', `folder/${folder}/settings`],
  ['welcome', 'welcome'],
  ['new', 'new'],
  ['join', 'join'],
  ['link', 'link'],
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

// What is asked before something is done, where there is little room and in the dark.
test.each([
  ['phone', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
  ['dark', { colorScheme: 'dark' }],
] as const)('every question, %s', async (look, options) => {
  if (!people.ana) throw new Error('nobody is there');
  const { page, wrong } = await open(browser, people.ana, options);
  const questions: [string, string, (page: Page) => Promise<void>][] = [
    ['restore', 'versions/song 9.txt', (page) => page.getByRole('button', { name: /^Bring back this version/ }).click()],
    ['preview', 'files', (page) => page.getByRole('button', { name: 'song 9.txt' }).or(page.getByRole('button', { name: 'song 11.txt' })).first().click()],
    ['role', 'people', (page) => page.getByRole('button', { name: 'Role of Ben' }).click()],
    ['remove', 'people', (page) => page.getByRole('button', { name: 'Remove Ben' }).click()],
    ['close-invite', 'people', (page) => page.getByRole('button', { name: /^Close the invite/ }).click()],
    ['keep', 'conflicts', (page) => page.getByRole('button', { name: /^Keep this one: song 12.txt/ }).first().click()],
    ['keep-both', 'conflicts', (page) => page.getByRole('button', { name: 'Keep both' }).first().click()],
    ['invite', 'people', (page) => page.getByRole('button', { name: 'Invite', exact: true }).click()],
    ['keys', 'settings', (page) => page.getByRole('button', { name: 'Give new keys' }).click()],
    ['leave', 'settings', (page) => page.getByRole('button', { name: 'Leave' }).click()],
  ];
  for (const [name, at, ask] of questions) {
    await visit(page, `folder/${folder}/${at}`);
    await ask(page);
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button').nth(1).waitFor();
    await page.waitForFunction(() => !document.querySelector('dialog [role=status]')?.textContent?.includes('…') && !document.querySelector('dialog progress'));
    const over = await page.evaluate(() => (document.querySelector('dialog')?.scrollWidth ?? 0) - (document.querySelector('dialog')?.clientWidth ?? 0));
    expect(over, `${name} runs over its edge`).toBeLessThanOrEqual(0);
    await shot(page, `question-${name}-${look}`);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
  }
  await visit(page, 'computer');
  await page.getByRole('button', { name: 'Link another computer' }).click();
  await page.getByRole('button', { name: 'Make the code' }).click();
  await page.getByLabel('Link code', { exact: true }).waitFor();
  await shot(page, `question-link-${look}`);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /^Rename/ }).first().click();
  await shot(page, `question-rename-${look}`);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Change your name' }).click();
  await shot(page, `question-name-${look}`);
  expect(wrong).toEqual([]);
});

test('by the keyboard alone: an earlier version comes back, a conflict is settled, and the focus is where it was', async () => {
  if (!people.ana) throw new Error('nobody is there');
  const { page, wrong } = await open(browser, people.ana);
  await visit(page, `folder/${folder}/history`);
  await page.getByText('changed song 9.txt').waitFor();
  await tabTo(page, /^Earlier versions of song 9\.txt$/);
  await page.keyboard.press('Enter');
  await page.getByText('Added by Ana').waitFor();
  await tabTo(page, /^Bring back this version/);
  await page.keyboard.press('Enter');
  await page.getByText('One file is written as it was then').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  // The focus returns to where it came from.
  await focusOn(page, /^Bring back this version/);
  await page.keyboard.press('Enter');
  await page.getByText('One file is written as it was then').waitFor();
  await tabTo(page, /^Bring back this version$/);
  await page.keyboard.press('Enter');
  await page.getByText('One file is as it was').waitFor();

  await visit(page, `folder/${folder}/conflicts`);
  await page.getByText('Ben sings lower').first().waitFor();
  await tabTo(page, /^Keep this one: song 12\.txt by Ben/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await tabTo(page, /^Keep Ben’s version$/);
  await page.keyboard.press('Enter');
  await page.getByText('Ben’s version of song 12.txt was kept.').waitFor();
  expect(wrong).toEqual([]);
});

test('by the keyboard alone: to a file, a look at it, and back', async () => {
  if (!people.ana) throw new Error('nobody is there');
  const { page, wrong } = await open(browser, people.ana);
  await page.getByRole('article', { name: 'Choir' }).waitFor();
  await page.keyboard.press('Tab');
  await focusOn(page, /^Skip to the content$/);
  await tabTo(page, /^Choir$/);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Choir' }).waitFor();
  await tabTo(page, /^Files$/);
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement ?? document.body).outlineWidth);
  expect(Number.parseFloat(ring)).toBeGreaterThanOrEqual(2);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Notes' }).waitFor();
  await tabTo(page, /^Notes$/);
  await page.keyboard.press('End');
  await page.waitForFunction(() => document.activeElement?.textContent?.includes('song 9.txt'));
  await page.keyboard.press('ArrowUp');
  await page.waitForFunction(() => document.activeElement?.textContent?.includes('song 8.txt'));
  await page.keyboard.press('Enter');
  await page.frameLocator('iframe').getByText('la la').first().waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await focusOn(page, /song 8\.txt/);
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
  await page.getByRole('heading', { name: 'This computer', level: 1 }).waitFor();
});
