// Who comes by an invite that asks first: both sides see the same six words, and nothing is read until somebody lets them in.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { open, shot, texts } from './browser';
import { browser, stage, world } from './stage';
import { card, choir, joins, tab } from './story';
import { until } from './world';

stage();

const sixWords = (page: Page) => page.getByRole('list', { name: 'Six words' });
const read = async (page: Page) => (await texts(sixWords(page).first().getByRole('listitem'), 6)).join(' ');

/** Makes a code in Ana's page, for whoever has it. */
async function code(page: Page, role: RegExp): Promise<string> {
  await card(page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  await tab(page, 'People').click();
  await page.getByRole('button', { name: 'Invite', exact: true }).click();
  await page.getByRole('radio', { name: /^Whoever has the code/ }).check();
  await page.getByRole('radio', { name: role }).check();
  expect(await page.getByRole('checkbox', { name: /^Ask before they are let in/ }).isChecked()).toBe(true);
  await page.getByRole('button', { name: 'Make the code' }).click();
  const made = await page.getByLabel('Invite code', { exact: true }).inputValue();
  await page.getByText('Whoever comes by it waits').waitFor();
  await shot(page, '12-code');
  await page.getByRole('button', { name: 'Done' }).click();
  return made;
}

async function asks(page: Page, made: string): Promise<void> {
  await page.getByRole('link', { name: 'Join with a code' }).click();
  await page.getByLabel('Invite code').fill(made);
  await page.getByRole('button', { name: 'Join', exact: true }).click();
  await page.getByText('Waits to be let in').waitFor();
}

test('who asks to be let in waits, with six words that both sides see, and comes in when somebody lets them', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const [anas, bens] = [await open(browser, ana), await open(browser, ben)];
  await asks(bens.page, await code(anas.page, /^Editor/));
  await shot(bens.page, '12-waiting');
  const words = await read(bens.page);
  expect(words.split(' ').length).toBe(6);
  await bens.page.getByRole('link', { name: 'Folders', exact: true }).click();
  await bens.page.getByRole('heading', { name: 'Where you wait to be let in' }).waitFor();
  await shot(bens.page, '12-home-waiting');
  expect((await ben.type('folders')).folders).toEqual([]);

  await anas.page.getByRole('link', { name: 'Folders', exact: true }).click();
  await card(anas.page, 'Choir').getByRole('link', { name: 'One person asks to be let in' }).waitFor();
  await anas.page.getByText('One thing waits for you.').waitFor();
  await shot(anas.page, '12-home-asked');
  await card(anas.page, 'Choir').getByRole('link', { name: 'One person asks to be let in' }).click();
  await anas.page.getByRole('heading', { name: 'One person asks to be let in' }).waitFor();
  expect(await read(anas.page)).toBe(words);
  await shot(anas.page, '12-asked');
  await anas.page.getByRole('button', { name: /^Let them in: / }).click();
  const sure = anas.page.getByRole('dialog');
  await sure.getByRole('checkbox', { name: /^I compared all six words/ }).check();
  await shot(anas.page, '12-let-in');
  await sure.getByRole('button', { name: 'Let them in' }).click();
  await anas.page.getByText('was let in.').waitFor();
  await card(bens.page, 'Choir').waitFor();
  const song = join((await ben.type('folders')).folders[0].path, 'song 1.txt');
  await until('Ben has the songs', async () => existsSync(song) && readFileSync(song, 'utf8') === 'song 1\n');
  expect([...anas.wrong, ...bens.wrong]).toEqual([]);
});

test('an admin comes in only when the words were compared; who is refused is told, and the invite is closed', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const [anas, bens] = [await open(browser, ana), await open(browser, ben)];
  await asks(bens.page, await code(anas.page, /^Admin/));
  await anas.page.getByRole('button', { name: /^Let them in: / }).click();
  const sure = anas.page.getByRole('dialog');
  await sure.getByText('An admin lets others in.').waitFor();
  expect(await sure.getByRole('button', { name: 'Let them in' }).isDisabled()).toBe(true);
  await shot(anas.page, '12-let-in-admin');
  await anas.page.keyboard.press('Escape');
  await anas.page.getByRole('button', { name: /^Refuse/ }).click();
  await sure.getByText('The invite closes').waitFor();
  await shot(anas.page, '12-refuse');
  await sure.getByRole('button', { name: 'Refuse' }).click();
  await anas.page.getByText('was not let in, and the invite is closed.').waitFor();
  await bens.page.getByText('Not let in').waitFor();
  await shot(bens.page, '12-refused');
  await bens.page.getByRole('button', { name: 'Put it away' }).click();
  await bens.page.getByLabel('Invite code').waitFor();
  expect((await ana.type('status')).folders[0].members.length).toBe(1);
  expect([...anas.wrong, ...bens.wrong]).toEqual([]);
});

test('three words, said by one and entered by the other, let in; wrong ones let nobody in, and new ones are made', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  const [anas, bens] = [await open(browser, ana), await open(browser, ben)];
  await card(anas.page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  await tab(anas.page, 'People').click();
  await anas.page.getByRole('button', { name: 'Invite', exact: true }).click();
  const asked = anas.page.getByRole('dialog', { name: 'Invite to Choir' });
  await asked.getByRole('radio', { name: /^Somebody who is at their computer now/ }).check();
  await asked.getByRole('button', { name: 'Make the words' }).click();
  const said = asked.getByLabel('The number and the words');
  const first = (await said.textContent()) ?? '';
  expect(first).toMatch(/^\d+(-[a-z]+){3}$/);
  await asked.getByText('They are told that nobody is found?').click();
  const address = await asked.getByLabel('Address').inputValue();
  await shot(anas.page, '12-words');

  const enter = async (words: string) => {
    await bens.page.getByLabel('Invite code').fill(words);
    await bens.page.getByLabel('Where they are to be found').fill(address);
    await bens.page.getByRole('button', { name: 'Join', exact: true }).click();
  };
  await bens.page.getByRole('link', { name: 'Join with a code' }).click();
  await enter(first.replace(/-[a-z]+$/, first.endsWith('-walk') ? '-talk' : '-walk'));
  await bens.page.getByRole('alert').waitFor();
  await asked.getByText('Somebody entered other words with this number').waitFor();
  await shot(anas.page, '12-words-wrong');
  await asked.getByRole('button', { name: 'Make new words' }).click();
  await asked.getByText('Waiting until somebody enters them').waitFor();
  const second = (await said.textContent()) ?? '';
  expect(second).not.toBe(first);
  await enter(second);
  await asked.getByText('They are let in.').waitFor();
  await asked.getByRole('button', { name: 'Done' }).click();
  await bens.page.getByRole('heading', { name: 'Choir' }).waitFor();
  expect(anas.wrong).toEqual([]);
  expect(bens.wrong).toEqual([]);
});

test('an owner decides that nobody comes in by a code alone, and an editor sees it', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  const [anas, bens] = [await open(browser, ana), await open(browser, ben)];
  for (const { page } of [anas, bens]) {
    await card(page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  }
  await tab(anas.page, 'Settings').click();
  const section = anas.page.getByRole('region', { name: 'Who is let in' });
  await section.getByText('after 91 days at the latest').waitFor();
  await section.getByLabel('Nobody comes in by a code alone').check();
  await until('it holds', async () => (await ana.type('policy', 'show', 'Choir')).approve_joins);
  await shot(anas.page, '12-policy');
  await until('Ben knows', async () => (await ben.type('policy', 'show', 'Choir')).approve_joins);
  await tab(bens.page, 'Settings').click();
  const his = bens.page.getByRole('region', { name: 'Who is let in' });
  await his.getByText('Owners of this folder decide it.').waitFor();
  expect(await his.getByLabel('Nobody comes in by a code alone').isDisabled()).toBe(true);
  expect(await his.getByLabel('Nobody comes in by a code alone').isChecked()).toBe(true);
  expect(anas.wrong).toEqual([]);
  expect(bens.wrong).toEqual([]);
});
