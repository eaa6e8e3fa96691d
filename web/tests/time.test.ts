// Going back in the page: a file's versions, what was deleted, a whole folder; and two versions side by side.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { open, shot } from './browser';
import { browser, stage, world } from './stage';
import { bothWrite, card, choir, inStep, joins, nextSecond, png, tab } from './story';
import { until } from './world';

stage();

test('history and restore: an earlier version comes back as a new change, and nothing of now is lost', async () => {
  const ana = await world.person('Ana');
  await choir(ana);
  const song = join(ana.folder('Choir'), 'song 1.txt');
  for (const text of ['second version\n', 'third version, spoilt\n']) {
    await nextSecond();
    writeFileSync(song, text);
    await inStep(ana);
  }
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'Files').click();
  await page.getByRole('button', { name: 'song 1.txt' }).click();
  await page.getByRole('link', { name: 'Earlier versions' }).click();
  await page.getByRole('heading', { name: 'Versions of song 1.txt' }).waitFor();
  await page.getByText('Added by Ana').waitFor();
  expect(await page.getByText('Changed by Ana').count()).toBe(2);
  await shot(page, '7-versions');

  await page.getByRole('button', { name: /^Bring back this version:/ }).first().click();
  const sure = page.getByRole('dialog', { name: /^Bring back song 1\.txt of/ });
  await sure.getByText('One file is written as it was then').waitFor();
  await shot(page, '7-restore-sure');
  await page.keyboard.press('Escape');
  await sure.waitFor({ state: 'detached' });
  expect(readFileSync(song, 'utf8')).toBe('third version, spoilt\n');
  await page.getByRole('button', { name: /^Bring back this version:/ }).first().click();
  await sure.getByRole('button', { name: 'Bring back this version' }).click();
  await page.getByText('One file is as it was').waitFor();
  expect(readFileSync(song, 'utf8')).toBe('second version\n');
  await until('the new change is in the list', async () => (await page.getByText('Changed by Ana').count()) === 3);
  await shot(page, '7-restored');
  // The way forward again is in the list: the spoilt one is a version as any other.
  await page.getByRole('button', { name: /^Bring back this version:/ }).first().click();
  await sure.getByRole('button', { name: 'Bring back this version' }).click();
  await until('it is the spoilt one again', async () => readFileSync(song, 'utf8') === 'third version, spoilt\n');
  expect(wrong).toEqual([]);
});

test('a renamed file keeps its versions, under the name it had', async () => {
  const ana = await world.person('Ana');
  await choir(ana);
  const at = (name: string) => join(ana.folder('Choir'), name);
  await nextSecond();
  await ana.type('status', '--wait', '--timeout', '60');
  const { renameSync } = await import('node:fs');
  renameSync(at('song 2.txt'), at('hymn.txt'));
  await inStep(ana);
  await nextSecond();
  writeFileSync(at('hymn.txt'), 'a hymn\n');
  await inStep(ana);
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'History').click();
  await page.getByText('Ana renamed song 2.txt to hymn.txt').waitFor();
  await shot(page, '7-changes');
  // Of what happened to it under its old name, the link leads to the file of now.
  await page.getByRole('listitem').filter({ hasText: 'Ana added song 2.txt' }).getByRole('link', { name: 'Earlier versions of hymn.txt' }).click();
  await page.getByRole('heading', { name: 'Versions of hymn.txt' }).waitFor();
  await page.getByText('It was called song 2.txt then.').waitFor();
  await page.getByRole('button', { name: /^Bring back this version:/ }).last().click();
  await page.getByText('It was called song 2.txt and comes back under that name; hymn.txt stays as it is.').waitFor();
  await shot(page, '7-restore-renamed');
  await page.getByRole('dialog').getByRole('button', { name: 'Bring back this version' }).click();
  await until('it stands there', async () => existsSync(at('song 2.txt')));
  expect([readFileSync(at('song 2.txt'), 'utf8'), readFileSync(at('hymn.txt'), 'utf8')]).toEqual(['song 2\n', 'a hymn\n']);
  expect(wrong).toEqual([]);
});

test('deleted files: one comes back, then all of a directory', async () => {
  const ana = await world.person('Ana');
  await choir(ana);
  const notes = ['alto.txt', 'bass.txt', 'soprano.txt'].map((name) => join(ana.folder('Choir'), 'Notes', name));
  mkdirSync(join(ana.folder('Choir'), 'Notes'));
  notes.forEach((note) => writeFileSync(note, `${note}\n`));
  await inStep(ana);
  notes.forEach((note) => rmSync(note));
  rmSync(join(ana.folder('Choir'), 'song 0.txt'));
  await inStep(ana);

  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'History').click();
  await page.getByRole('link', { name: 'Deleted files' }).click();
  await page.getByRole('region', { name: 'Notes' }).getByText('soprano.txt').waitFor();
  await shot(page, '7-trash');
  await page.getByRole('button', { name: 'Bring back song 0.txt' }).click();
  await page.getByText('One file is as it was').waitFor();
  expect(readFileSync(join(ana.folder('Choir'), 'song 0.txt'), 'utf8')).toBe('song 0\n');
  await page.getByRole('button', { name: 'Bring back song 0.txt' }).waitFor({ state: 'detached' });

  await page.getByRole('button', { name: 'Bring all back that was deleted in Notes' }).click();
  const sure = page.getByRole('dialog', { name: 'Bring back all that was deleted in Notes?' });
  await sure.getByText('3 files are written as they were then').waitFor();
  await shot(page, '7-trash-sure');
  await sure.getByRole('button', { name: 'Bring all back' }).click();
  await until('all are back', async () => notes.every((note) => existsSync(note) && readFileSync(note, 'utf8') === `${note}\n`));
  await page.getByText('Nothing is missing: no file was deleted.').waitFor();
  expect(wrong).toEqual([]);
});

test('a deleted file is removed from history by an owner: what goes and where copies remain is said before, and it can be taken back', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  const letter = join(ana.folder('Choir'), 'letter.txt');
  writeFileSync(letter, 'what nobody shall read any more\n'.repeat(100));
  await inStep(ana, ben);
  rmSync(letter);
  await inStep(ana, ben);

  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'History').click();
  await page.getByRole('link', { name: 'Deleted files' }).click();
  await page.getByRole('button', { name: 'Remove from history: letter.txt' }).click();
  const sure = page.getByRole('dialog', { name: 'Remove letter.txt from history?' });
  await sure.getByText('One version, 3.2 kB, can not be brought back any more, by anybody.').waitFor();
  await sure.getByText(/^The members’ computers: until/).waitFor();
  await shot(page, '7-forget-sure');
  await sure.getByRole('button', { name: 'Remove it for good' }).click();
  const being = page.getByRole('region', { name: 'Being removed from history' });
  await being.getByText('letter.txt').waitFor();
  await shot(page, '7-forgotten');
  expect((await ana.type('forget', 'Choir')).forgets.length).toBe(1);

  const his = await open(browser, ben);
  await card(his.page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(his.page, 'History').click();
  await his.page.getByRole('link', { name: 'Deleted files' }).click();
  await his.page.getByRole('region', { name: 'Being removed from history' }).getByText('Asked for by Ana').waitFor();
  expect(await his.page.getByRole('button', { name: /^Remove from history/ }).count()).toBe(0);

  await being.getByRole('button', { name: 'Take it back: letter.txt' }).click();
  await being.waitFor({ state: 'detached' });
  expect((await ana.type('forget', 'Choir')).forgets).toEqual([]);
  expect(wrong).toEqual([]);
  expect(his.wrong).toEqual([]);
});

test('a whole folder back to a moment: first what would change, then a question that names it', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana, 8);
  await joins(ana, ben);
  const at = (who: typeof ana, name: string) => join(who.folder('Choir'), name);
  await nextSecond();
  for (let i = 0; i < 4; i++) writeFileSync(at(ben, `song ${i}.txt`), 'encrypted by somebody\n');
  writeFileSync(at(ben, 'READ ME.txt'), 'pay\n');
  await inStep(ben, ana);

  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'History').click();
  // Of what Ben did, the oldest: all of it is after the moment before it.
  await page.getByRole('listitem').filter({ hasText: 'Ben changed' }).getByRole('link', { name: /^Back to before this:/ }).last().click();
  await page.getByText('4 files are written as they were then').waitFor();
  await page.getByText('One file is taken away, since it came later').waitFor();
  await shot(page, '7-undo');
  expect(readFileSync(at(ana, 'song 1.txt'), 'utf8')).toBe('encrypted by somebody\n');
  await page.getByRole('button', { name: 'Set the folder back' }).click();
  const sure = page.getByRole('dialog', { name: /^Set Choir back to/ });
  await sure.waitFor();
  await shot(page, '7-undo-sure');
  await sure.getByRole('button', { name: 'Set the folder back' }).click();
  await page.getByRole('heading', { name: /^The folder is as it was at/ }).waitFor();
  await shot(page, '7-undone');
  for (const who of [ana, ben]) {
    await until('it is as it was', async () => [0, 1, 2, 3].every((i) => readFileSync(at(who, `song ${i}.txt`), 'utf8') === `song ${i}\n`));
    await until('what came is gone', async () => !existsSync(at(who, 'READ ME.txt')));
  }
  // What the restored state lacks lies among the deleted files.
  await page.getByRole('link', { name: 'Deleted files' }).click();
  await page.getByRole('button', { name: 'Bring back READ ME.txt' }).waitFor();
  expect(wrong).toEqual([]);
});

test('settle a conflict: compared line by line, one version kept, the other still to be had', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const verses = (third: string) => ['First verse', 'Second verse', third, 'Last verse', ''].join('\n');
  writeFileSync(join(ana.folder('Choir'), 'song 1.txt'), verses('Third verse'));
  writeFileSync(join(ana.folder('Choir'), 'cover.png'), png([200, 30, 40]));
  await inStep(ana);
  await joins(ana, ben);
  await bothWrite(ana, ben, 'song 1.txt', verses('Ana sings <b>higher</b>'), verses('Ben sings lower'));
  await bothWrite(ana, ben, 'cover.png', png([20, 120, 40]), png([30, 60, 180]));

  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: '2 conflicts' }).click();
  const song = page.getByRole('article', { name: 'song 1.txt' });
  await song.getByRole('deletion').or(song.getByRole('insertion')).first().waitFor();
  // What is written in a file is text to the page.
  await song.getByText('Ana sings <b>higher</b>').waitFor();
  await song.getByText('Ben sings lower').waitFor();
  await page.getByRole('article', { name: 'cover.png' }).getByRole('img').nth(1).waitFor();
  await shot(page, '6-conflict');
  await page.getByRole('article', { name: 'cover.png' }).scrollIntoViewIfNeeded();
  await shot(page, '6-conflict-picture');

  await song.getByRole('button', { name: /^Keep this one: song 1\.txt by Ana/ }).click();
  const sure = page.getByRole('dialog', { name: 'Keep Ana’s version of song 1.txt?' });
  await sure.waitFor();
  await shot(page, '6-sure');
  await sure.getByRole('button', { name: 'Keep Ana’s version' }).click();
  await page.getByText('Ana’s version of song 1.txt was kept.').waitFor();
  for (const who of [ana, ben]) {
    await until('all have hers', async () => readFileSync(join(who.folder('Choir'), 'song 1.txt'), 'utf8') === verses('Ana sings <b>higher</b>'));
  }
  await song.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Keep both' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Keep both' }).click();
  await page.getByText('No conflicts.').waitFor();
  await inStep(ana, ben);
  const { files } = (await ana.type('status')).folders[0];
  expect(files).toBe(5);

  // The page said that the version that left can be brought back: it can, although both were written at the same time.
  await tab(page, 'Files').click();
  await page.getByRole('button', { name: 'song 1.txt' }).click();
  await page.getByRole('link', { name: 'Earlier versions' }).click();
  await page.getByText('Changed by Ben').waitFor();
  await shot(page, '6-history-after');
  await page.getByRole('listitem').filter({ hasText: 'Changed by Ben' }).getByRole('button', { name: /^Bring back this version/ }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Bring back this version' }).click();
  for (const who of [ana, ben]) {
    await until('all have his', async () => readFileSync(join(who.folder('Choir'), 'song 1.txt'), 'utf8') === verses('Ben sings lower'));
  }
  expect(wrong).toEqual([]);
});

test('who has a file open is seen at the folder, in it, and at the file, until it is closed', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByText('3 files').waitFor();
  const lock = join(ben.folder('Choir'), '.~lock.song 1.txt#');
  writeFileSync(lock, ',Ben,ben,desk,;');
  await card(page, 'Choir').getByText(/^Ben has song 1\.txt open since /).waitFor();
  await shot(page, '7-open-card');
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await page.getByRole('region', { name: 'Open elsewhere' }).getByText(/^Ben has song 1\.txt open since /).waitFor();
  await shot(page, '7-open');
  await tab(page, 'Files').click();
  const row = page.getByRole('row').filter({ hasText: 'song 1.txt' });
  await row.getByText(/^Ben has this open since /).filter({ visible: true }).waitFor();
  await shot(page, '7-open-file');
  rmSync(lock);
  await row.getByText(/^Ben has this open since /).first().waitFor({ state: 'detached' });
  expect(wrong).toEqual([]);
});
