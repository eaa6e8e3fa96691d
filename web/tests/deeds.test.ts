// Who belongs, which computers are mine, and what is not here: each deed with its preview, in the page, against real programs.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { open, shot } from './browser';
import { browser, stage, world } from './stage';
import { card, choir, inStep, joins, offer, tab } from './story';
import { until, type Computer } from './world';

stage();

const folderOf = async (computer: Computer) => (await computer.type('status')).folders[0];

test('remove a member: first less, then gone, and what that means is said before', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'People').click();
  await page.getByText('Here, and has everything').waitFor();
  await shot(page, '8-people');

  await page.getByRole('button', { name: 'Role of Ben' }).click();
  const role = page.getByRole('dialog', { name: 'What may Ben do?' });
  await role.getByRole('radio', { name: /^Reader/ }).check();
  await role.getByText('Ben goes on reading everything').waitFor();
  await shot(page, '8-role');
  await role.getByRole('button', { name: 'Change it' }).click();
  await page.getByText('Ben is now: Reader.').waitFor();
  await until('Ben knows', async () => (await folderOf(ben)).members.find((one: { you: boolean }) => one.you)?.role === 'reader');

  await page.getByRole('button', { name: 'Remove Ben' }).click();
  const sure = page.getByRole('dialog', { name: 'Remove Ben from Choir?' });
  await sure.getByText('This concerns their one device.').waitFor();
  await sure.getByText('What Ben keeps').waitFor();
  await shot(page, '8-remove-sure');
  await page.keyboard.press('Escape');
  await sure.waitFor({ state: 'detached' });
  expect((await folderOf(ana)).members.length).toBe(2);
  await page.getByRole('button', { name: 'Remove Ben' }).click();
  await sure.getByRole('button', { name: 'Remove Ben' }).click();
  await page.getByText('Ben was removed.').waitFor();
  await page.getByRole('heading', { name: 'One member' }).waitFor();
  await shot(page, '8-removed');
  await until('Ben is told', async () => (await folderOf(ben)).problems.some((one: { code: string }) => one.code === 'removed'));
  expect(readFileSync(join(ben.folder('Choir'), 'song 1.txt'), 'utf8')).toBe('song 1\n');
  expect(wrong).toEqual([]);
});

test('an invite that is open is seen, and closed', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await tab(page, 'People').click();
  const { code } = await ana.type('invite', 'Choir', '--to', (await ben.type('whoami')).cobox_key, '--role', 'reader');
  await page.getByText('Invite as Reader').waitFor();
  await shot(page, '8-invites');
  await page.getByRole('button', { name: /^Close the invite as Reader/ }).click();
  const sure = page.getByRole('dialog', { name: 'Close this invite as Reader?' });
  await sure.waitFor();
  await shot(page, '8-invite-close');
  await sure.getByRole('button', { name: 'Close the invite' }).click();
  await page.getByRole('heading', { name: 'Open invites' }).waitFor({ state: 'detached' });
  await expect(ben.type('join', code, ben.folder('Choir'), '--timeout', '10')).rejects.toThrow();
  expect(wrong).toEqual([]);
});

test('what somebody who was removed wrote unseen waits, and is taken in', async () => {
  const [ana, ben, shed] = await Promise.all([world.person('Ana'), world.person('Ben'), world.seeder('shed')]);
  await choir(ana);
  await joins(ana, ben);
  await ana.type('backup', 'add', 'Choir', await offer(shed));
  await inStep(ana, ben);
  await Promise.all([ben.down(), shed.down()]);
  await ana.type('members', 'remove', 'Choir', 'Ben');
  await ana.down();
  await Promise.all([shed.up(), ben.up()]);
  writeFileSync(join(ben.folder('Choir'), 'solo.txt'), 'Ben alone\n');
  await until('the seeder has it', async () => {
    await ben.type('status', '--wait', '--timeout', '60');
    return (await folderOf(ben)).backups.some((one: { complete: boolean }) => one.complete);
  });
  await ben.down();
  await ana.up();

  const { page, wrong } = await open(browser, ana);
  // Nothing is wrong with the folder, and nothing has to be done.
  await card(page, 'Choir').getByText('Needs you').waitFor({ state: 'detached' });
  await card(page, 'Choir').getByText('Safe:').waitFor();
  await shot(page, '8-home-aside');
  await card(page, 'Choir').getByRole('link', { name: 'Something of a removed member is held aside' }).click();
  await page.getByRole('heading', { name: 'Held aside' }).waitFor();
  await page.getByText('By Ben').waitFor();
  await shot(page, '8-aside');
  expect(existsSync(join(ana.folder('Choir'), 'solo.txt'))).toBe(false);
  await page.getByRole('button', { name: 'Take it in' }).click();
  const sure = page.getByRole('dialog', { name: 'Take in what Ben wrote?' });
  await sure.waitFor();
  await shot(page, '8-aside-sure');
  await sure.getByRole('button', { name: 'Take it in' }).click();
  await page.getByText('What Ben wrote is a part of the folder now.').waitFor();
  await until('it is here', async () => existsSync(join(ana.folder('Choir'), 'solo.txt')));
  expect(wrong).toEqual([]);
});

test('what a reader changed is theirs alone: the page says so, and sets it aside', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  await ana.type('members', 'role', 'Choir', 'Ben', 'reader');
  await until('Ben knows', async () => (await folderOf(ben)).members.find((one: { you: boolean }) => one.you)?.role === 'reader');
  const at = (name: string) => join(ben.folder('Choir'), name);
  writeFileSync(at('song 1.txt'), 'as Ben sings it\n');
  writeFileSync(at('solo.txt'), 'Ben alone\n');

  const { page, wrong } = await open(browser, ben);
  await card(page, 'Choir').getByText('Waits for you').waitFor();
  await page.getByText('One thing waits for you.').waitFor();
  await shot(page, '11-home-edits');
  await card(page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  await page.getByText('You changed something here, and may only read this folder.').waitFor();
  await shot(page, '11-overview-edits');
  await page.getByRole('link', { name: 'Look at it' }).first().click();
  await page.getByRole('heading', { name: 'Yours alone' }).waitFor();
  await page.getByText(at('solo.txt')).waitFor();
  await shot(page, '11-edits');
  await page.getByRole('button', { name: 'Set it aside: solo.txt' }).click();
  const one = page.getByRole('dialog', { name: 'Set aside what you did to solo.txt?' });
  await one.getByText('Nothing of yours is lost.').waitFor();
  await shot(page, '11-edits-sure');
  await one.getByRole('button', { name: 'Set it aside' }).click();
  const aside = `${ben.folder('Choir')} (changed here)`;
  await page.getByText(join(aside, 'solo.txt')).waitFor();
  expect(readFileSync(join(aside, 'solo.txt'), 'utf8')).toBe('Ben alone\n');
  expect(existsSync(at('solo.txt'))).toBe(false);

  await page.getByRole('button', { name: 'Set all of it aside' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Set all of it aside' }).click();
  await page.getByText(join(aside, 'song 1.txt')).waitFor();
  await until('what everybody has is back', async () => existsSync(at('song 1.txt')) && readFileSync(at('song 1.txt'), 'utf8') === 'song 1\n');
  await page.getByRole('button', { name: 'Set all of it aside' }).waitFor({ state: 'detached' });
  await shot(page, '11-edits-done');
  await page.getByRole('link', { name: 'Folders', exact: true }).click();
  await page.getByText('Nothing waits for you.').waitFor();
  expect(wrong).toEqual([]);
});

test('link a device, name it, and send it away when it is lost', async () => {
  const ana = await world.person('Ana');
  await choir(ana);
  const second = await world.person('Nobody', 'second');
  const [anas, seconds] = [await open(browser, ana), await open(browser, second)];
  await anas.page.getByRole('link', { name: 'This computer' }).click();
  await anas.page.getByRole('heading', { name: 'Your computers' }).waitFor();
  await anas.page.getByRole('button', { name: 'Link another computer' }).click();
  await shot(anas.page, '9-link-warning');
  await anas.page.getByRole('button', { name: 'Make the code' }).click();
  const code = await anas.page.getByLabel('Link code', { exact: true }).inputValue();
  await shot(anas.page, '9-link-code');

  await seconds.page.getByRole('link', { name: 'Add this computer to mine' }).click();
  await seconds.page.getByLabel('Link code').fill(code);
  await seconds.page.getByLabel('What this computer shall be called').fill('old laptop');
  await seconds.page.getByLabel('Where your folders shall go').fill(second.folder('all'));
  await shot(seconds.page, '9-link-use');
  await seconds.page.getByRole('button', { name: 'Add this computer' }).click();
  await seconds.page.getByRole('heading', { name: 'This is one of your computers now, Ana' }).waitFor();
  await shot(seconds.page, '9-linked');
  await until('the songs are there', async () => existsSync(join(second.folder('all'), 'Choir', 'song 2.txt')));
  await anas.page.getByText('is one of your computers now.').waitFor();
  await shot(anas.page, '9-link-seen');
  // The code has served: it is nowhere in the page.
  expect(await anas.page.content()).not.toContain(code.slice(0, 30));
  await anas.page.getByRole('button', { name: 'Done' }).click();

  await anas.page.getByRole('button', { name: 'Change your name' }).click();
  await anas.page.getByRole('textbox', { name: 'Your name' }).fill('Ana María');
  await shot(anas.page, '9-name');
  await anas.page.getByRole('dialog').getByRole('button', { name: 'Change it' }).click();
  await anas.page.getByRole('heading', { name: 'You are Ana María' }).waitFor();

  await anas.page.getByRole('button', { name: 'Rename old laptop' }).click();
  await anas.page.getByLabel('Its name').fill('travel laptop');
  await shot(anas.page, '9-rename');
  await anas.page.getByRole('button', { name: 'Rename it' }).click();
  await anas.page.getByText('travel laptop').waitFor();
  await anas.page.getByText('Reached now').waitFor();
  await shot(anas.page, '9-devices');

  await anas.page.getByRole('button', { name: 'It is lost: travel laptop' }).click();
  const sure = anas.page.getByRole('dialog', { name: 'Remove travel laptop?' });
  await sure.getByText('Choir').waitFor();
  await sure.getByText('Your recovery words, if its disk can be read').waitFor();
  await shot(anas.page, '9-remove-sure');
  await sure.getByRole('button', { name: 'Remove travel laptop' }).click();
  await anas.page.getByText('travel laptop was removed.').waitFor();
  await until('it is told', async () => (await folderOf(second)).problems.some((one: { code: string }) => one.code === 'removed'));
  writeFileSync(join(ana.folder('Choir'), 'new song.txt'), 'not for thieves\n');
  await inStep(ana);
  expect(existsSync(join(second.folder('all'), 'Choir', 'new song.txt'))).toBe(false);
  expect([...anas.wrong, ...seconds.wrong]).toEqual([]);
});

test('a file that nobody brings is seen, and given up', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  // Ben switches off in the midst of a large file. If all of it was quicker, there is another.
  const lost = await until('a file is missing', async () => {
    const name = `concert ${Date.now()}.bin`;
    writeFileSync(join(ben.folder('Choir'), name), randomBytes(150_000_000));
    await until('Ana hears of it', async () => {
      const { missing } = await ana.type('missing', 'list', 'Choir');
      return missing.length > 0 || existsSync(join(ana.folder('Choir'), name));
    });
    await ben.down();
    const { missing } = await ana.type('missing', 'list', 'Choir');
    if (missing.length > 0) return name;
    await ben.up();
    return null;
  });
  await until('nothing is said to be on its way', async () => (await folderOf(ana)).state === 'offline');
  const { page, wrong } = await open(browser, ana);
  await page.getByRole('heading', { name: 'Some files wait for others to be here' }).waitFor();
  await shot(page, '10-home-apart');
  await card(page, 'Choir').getByRole('link', { name: 'Choir' }).click();
  await page.getByRole('link', { name: 'See which files' }).first().click();
  await page.getByRole('heading', { name: 'Files that are not here' }).waitFor();
  await page.getByText('nobody who has it is here now').waitFor();
  await shot(page, '10-missing');
  await page.getByRole('button', { name: `Give up ${lost}` }).click();
  const sure = page.getByRole('dialog', { name: `Give up ${lost}?` });
  await sure.getByText('Ben wrote it last.').waitFor();
  await shot(page, '10-missing-sure');
  await sure.getByRole('button', { name: `Give up ${lost}` }).click();
  await page.getByText('Every file is here.').waitFor();
  await until('the folder has four files no more', async () => (await folderOf(ana)).files === 3);
  expect(wrong).toEqual([]);
});
