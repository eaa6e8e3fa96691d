// What people do with the page, with real programs behind it: from the first day to the lost laptop.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { open, shot, texts } from './browser';
import { browser, stage, world } from './stage';
import { card, choir, offer, tab } from './story';
import { until } from './world';

stage();

test('first day: a name, the words, a first folder', async () => {
  const ana = await world.person('Ana');
  mkdirSync(join(ana.directory, 'Music'));
  writeFileSync(join(ana.directory, 'Music', 'song.txt'), 'la la\n');
  const { page, wrong } = await open(browser, ana);
  expect(page.url()).not.toContain('login');
  await page.getByRole('heading', { name: 'Welcome, Ana' }).waitFor();
  await shot(page, '1-first-steps');

  await page.getByRole('link', { name: 'Begin' }).click();
  await page.getByLabel('Your name').fill('Ana María');
  await shot(page, '1-name');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('heading', { name: 'What will happen' }).waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('button', { name: 'Show the words' }).click();
  const words = (await texts(page.locator('ol.words strong'), 12)).join(' ');
  expect(words).toBe((await ana.type('recovery', 'kit')).words);
  await shot(page, '1-words');
  await page.emulateMedia({ media: 'print' });
  await shot(page, '1-kit-on-paper');
  await page.emulateMedia({ media: 'screen' });
  await page.getByRole('button', { name: 'I have written them down' }).click();
  await page.getByRole('group').nth(2).waitFor();
  for (const question of await page.getByRole('group').all()) {
    const number = Number(/\d+/.exec((await question.locator('legend').textContent()) ?? '')?.[0]);
    await question.getByRole('radio', { name: words.split(' ')[number - 1] ?? '', exact: true }).check();
  }
  await shot(page, '1-quiz');
  await page.getByRole('button', { name: 'That is right' }).click();
  await page.getByRole('heading', { name: 'Welcome, Ana María' }).waitFor();
  await page.getByText('Begin here').waitFor({ state: 'detached' });
  expect((await ana.type('whoami')).name).toBe('Ana María');

  await page.getByRole('link', { name: 'Make a folder' }).click();
  await page.getByRole('button', { name: 'Music', exact: true }).click();
  await page.getByText('No folders in here.').waitFor();
  await shot(page, '1-new-folder');
  await page.getByRole('button', { name: 'Make it a folder' }).click();
  await page.getByRole('heading', { name: 'Music' }).waitFor();
  await page.getByText('Only on this computer').first().waitFor();
  await page.getByRole('link', { name: 'Folders', exact: true }).click();
  await card(page, 'Music').getByText('1 file').waitFor();
  await shot(page, '1-home');
  // Nothing of the words stays behind, in the page or in what the browser keeps.
  expect(await page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie]))).toBe('[{},""]');
  expect(await page.content()).not.toContain(words.split(' ').slice(0, 3).join(' '));
  expect(wrong).toEqual([]);
});

test('invite and join on two pages, and a file travels', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  const id = await choir(ana);
  const [anas, bens] = [await open(browser, ana), await open(browser, ben)];
  await bens.page.getByRole('link', { name: 'Join with a code' }).click();
  const key = await bens.page.getByLabel('Your CoBox key', { exact: true }).inputValue();

  await card(anas.page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(anas.page, 'People').click();
  await anas.page.getByRole('button', { name: 'Invite' }).click();
  await anas.page.getByLabel('Their CoBox key').fill(key);
  await shot(anas.page, '2-invite');
  await anas.page.getByRole('button', { name: 'Make the code' }).click();
  const code = await anas.page.getByLabel('Invite code', { exact: true }).inputValue();
  await shot(anas.page, '2-code');
  await anas.page.getByRole('button', { name: 'Done' }).click();

  await bens.page.getByLabel('Invite code').fill(`  ${code.slice(0, 40)}\n${code.slice(40)} `);
  await shot(bens.page, '2-join');
  await bens.page.getByRole('button', { name: 'Join', exact: true }).click();
  await bens.page.getByRole('heading', { name: 'Choir' }).waitFor();
  await tab(bens.page, 'Files').click();
  await bens.page.getByRole('button', { name: 'song 2.txt' }).waitFor();

  // Ben adds a file in his page; it is on Ana's disk, and her page says so.
  await bens.page.getByLabel('Add files').last().setInputFiles({ name: 'greeting.txt', mimeType: 'text/plain', buffer: Buffer.from('hello\n') });
  const arrived = join(ana.folder('Choir'), 'greeting.txt');
  await until('the file at Ana', async () => existsSync(arrived) && readFileSync(arrived, 'utf8') === 'hello\n');
  await tab(anas.page, 'Files').click();
  await anas.page.getByRole('button', { name: 'greeting.txt' }).click();
  const frame = anas.page.frameLocator('iframe');
  await frame.getByText('hello').waitFor();
  await shot(anas.page, '2-preview');
  await anas.page.getByRole('button', { name: 'Close' }).click();
  const download = anas.page.waitForEvent('download');
  await anas.page.getByRole('button', { name: 'greeting.txt' }).click();
  await anas.page.getByRole('button', { name: 'Download' }).click();
  expect(readFileSync(await (await download).path(), 'utf8')).toBe('hello\n');
  await anas.page.getByRole('button', { name: 'Close' }).click();
  await tab(anas.page, 'People').click();
  await anas.page.getByText('Here, and has everything').waitFor();
  await shot(anas.page, '2-people');

  // A name that is taken is not lost to the newcomer.
  await bens.page.getByLabel('Add files').last().setInputFiles({ name: 'greeting.txt', mimeType: 'text/plain', buffer: Buffer.from('other\n') });
  await bens.page.getByRole('button', { name: 'greeting~2.txt' }).waitFor();
  await bens.page.getByText('greeting.txt was there already: yours is greeting~2.txt.').waitFor();
  expect(readFileSync(arrived, 'utf8')).toBe('hello\n');
  expect((await ana.type('status', id)).folders[0].members.length).toBe(2);
  expect([...anas.wrong, ...bens.wrong]).toEqual([]);
});

test('files are dropped, a directory with all that is in it too, and whoever has enough ends it', async () => {
  const ana = await world.person('Ana');
  await choir(ana);
  const away = join(ana.directory, 'away');
  mkdirSync(join(away, 'Sheets', 'old'), { recursive: true });
  writeFileSync(join(away, 'Sheets', 'alto.txt'), 'alto\n');
  writeFileSync(join(away, 'Sheets', 'old', 'bass.txt'), 'bass\n');
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'Files').click();
  const table = page.getByRole('table');
  await table.getByRole('button', { name: 'song 1.txt' }).waitFor();
  // As the browser has it from the desktop: playwright has no word for that.
  const box = await table.boundingBox();
  const [x, y] = [(box?.x ?? 0) + 100, (box?.y ?? 0) + 100];
  const wire = await page.context().newCDPSession(page);
  const data = { items: [], files: [join(away, 'Sheets')], dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) await wire.send('Input.dispatchDragEvent', { type, x, y, data });
  await page.getByText('2 files were added.').waitFor();
  await shot(page, '2-dropped');
  const here = (...path: string[]) => join(ana.folder('Choir'), 'Sheets', ...path);
  expect([readFileSync(here('alto.txt'), 'utf8'), readFileSync(here('old', 'bass.txt'), 'utf8')]).toEqual(['alto\n', 'bass\n']);

  writeFileSync(join(away, 'concert.bin'), Buffer.alloc(400_000_000, 7));
  await page.getByLabel('Add files').last().setInputFiles(join(away, 'concert.bin'));
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('progressbar', { name: 'Files are being added' }).waitFor({ state: 'detached' });
  expect(existsSync(join(ana.folder('Choir'), 'concert.bin'))).toBe(false);
  expect(wrong).toEqual([]);
});

test('add a backup and watch it complete', async () => {
  const [ana, shed] = await Promise.all([world.person('Ana'), world.seeder('shed')]);
  await choir(ana);
  writeFileSync(join(ana.folder('Choir'), 'concert.bin'), Buffer.alloc(8_000_000, 7));
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByText('Only on this computer').waitFor();
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await page.getByRole('link', { name: 'Add a backup' }).click();
  await page.getByLabel('Hosting offer').fill(await offer(shed));
  await shot(page, '3-backup-offer');
  await page.getByRole('button', { name: 'Add the backup' }).click();
  await page.getByText('complete, confirmed just now').first().waitFor();
  await page.getByText('Has room for 1 GB, and keeps what was for at least 90 days.').waitFor();
  await shot(page, '3-backup-complete');
  await page.getByRole('button', { name: 'Rehearse a restore' }).click();
  await page.getByText(/: 4 files, 8 MB, came back as they were\.$/).waitFor();
  await page.getByText('A rehearsed restore passed just now.').waitFor();
  await shot(page, '3-backup-rehearsed');
  await page.getByRole('link', { name: 'Folders', exact: true }).click();
  await page.getByRole('heading', { name: 'Your folder is safe' }).waitFor();
  await card(page, 'Choir').getByText('Safe: a copy in one other place').waitFor();
  await shot(page, '3-home-safe');
  await page.getByRole('link', { name: 'Activity' }).click();
  await page.getByText('has a complete copy of Choir').first().waitFor();
  await shot(page, '3-activity');
  await page.getByRole('searchbox', { name: 'Search' }).fill('complete');
  await page.getByText('Choir is a folder now.').waitFor({ state: 'detached' });
  await page.getByRole('listitem').filter({ hasText: 'has a complete copy of Choir' }).getByRole('link', { name: 'Choir' }).first().click();
  await page.getByRole('heading', { name: 'Backups' }).waitFor();
  expect(wrong).toEqual([]);
});

test('held change: rejected brings the files back, approved deletes them', async () => {
  const ana = await world.person('Ana');
  await choir(ana, 60);
  const { page, wrong } = await open(browser, ana);
  const songs = Array.from({ length: 55 }, (_, i) => join(ana.folder('Choir'), `song ${i}.txt`));
  const forget = () => songs.forEach((song) => rmSync(song));

  forget();
  await card(page, 'Choir').getByText('Waits for you').waitFor();
  await page.getByRole('heading', { name: 'One folder needs a look' }).waitFor();
  await shot(page, '4-home-held');
  await card(page, 'Choir').getByRole('link', { name: 'One change is held back' }).click();
  await page.getByRole('heading', { name: '55 files would be deleted' }).waitFor();
  await shot(page, '4-held');
  await page.getByRole('button', { name: 'No, bring them back' }).click();
  await until('the songs are back', async () => songs.every((song) => existsSync(song)));
  await page.getByText('Nothing is held back.').waitFor();

  forget();
  await page.getByRole('heading', { name: '55 files would be deleted' }).waitFor();
  await page.getByRole('button', { name: 'Yes, delete them everywhere' }).click();
  const sure = page.getByRole('dialog', { name: 'Delete 55 files everywhere?' });
  await sure.waitFor();
  await shot(page, '4-sure');
  await page.keyboard.press('Escape');
  await sure.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Yes, delete them everywhere' }).click();
  await sure.getByRole('button', { name: 'Yes, delete them everywhere' }).click();
  await page.getByText('Nothing is held back.').waitFor();
  await until('five songs are left', async () => (await ana.type('status')).folders[0].files === 5);
  expect(songs.some((song) => existsSync(song))).toBe(false);
  expect(wrong).toEqual([]);
});

test('files that became noise wait, and come back as they were', async () => {
  const ana = await world.person('Ana');
  await choir(ana, 60);
  const { page, wrong } = await open(browser, ana);
  const songs = Array.from({ length: 55 }, (_, i) => join(ana.folder('Choir'), `song ${i}.txt`));
  for (const song of songs) writeFileSync(song, randomBytes(4_000));
  await card(page, 'Choir').getByRole('link', { name: 'One change is held back' }).click();
  await page.getByRole('heading', { name: /files became unreadable/ }).waitFor();
  await shot(page, '4-held-noise');
  await page.getByRole('button', { name: 'Yes, that was meant' }).click();
  await page.getByRole('dialog', { name: /^Let \d+ files change like that everywhere\?/ }).waitFor();
  await shot(page, '4-noise-sure');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'No, bring them back' }).click();
  await until('the songs can be read', async () => songs.every((song, i) => readFileSync(song, 'utf8') === `song ${i}\n`));
  await page.getByText('Nothing is held back.').waitFor();
  expect(wrong).toEqual([]);
});

test('lost laptop recovered, from the words and the address on the paper', async () => {
  const [ana, shed] = await Promise.all([world.person('Ana'), world.seeder('shed')]);
  await choir(ana);
  await ana.type('backup', 'add', 'Choir', await offer(shed));
  await ana.type('status', '--wait', '--timeout', '60');
  const { words, seeders } = await ana.type('recovery', 'kit');
  await ana.down();

  const again = await world.person('Nobody', 'new laptop');
  const { page, wrong } = await open(browser, again);
  await page.getByRole('link', { name: 'Get everything back' }).click();
  await page.getByLabel('Recovery words').fill(words.toUpperCase().replaceAll(' ', '  '));
  await page.getByText('12 words of 12').waitFor();
  await page.getByLabel('Addresses of seeders').fill(seeders.join('\n'));
  await page.getByRole('button', { name: 'Get everything back' }).click();
  await page.getByRole('heading', { name: 'Welcome back, Ana' }).waitFor();
  await shot(page, '5-recovered');
  await page.getByRole('link', { name: 'To my folders' }).click();
  await card(page, 'Choir').getByText('3 files').waitFor();
  const { folders } = await again.type('folders');
  await until('the songs are back', async () => existsSync(join(folders[0].path, 'song 2.txt')));
  await card(page, 'Choir').getByText('Safe:').waitFor();
  expect(wrong).toEqual([]);
});
