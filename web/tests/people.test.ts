// What one calls somebody oneself, and new keys for a folder that somebody fears were copied.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { open, shot } from './browser';
import { browser, stage, world } from './stage';
import { card, choir, inStep, joins, tab } from './story';
import { until } from './world';

stage();

test('a nickname stands wherever the name stood, on this computer alone, and goes when it is emptied', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  await tab(page, 'People').click();
  await page.getByRole('button', { name: 'Call Ben something else' }).click();
  const asked = page.getByRole('dialog', { name: 'What do you call Ben?' });
  await asked.getByLabel('Your name for them').fill('Uncle B');
  await shot(page, '13-nickname');
  await asked.getByRole('button', { name: 'Call them that' }).click();
  await page.getByText('Uncle B', { exact: true }).waitFor();
  await page.getByText('Calls themselves Ben').waitFor();
  await shot(page, '13-nicknamed');
  const member = async (who: typeof ana) => (await who.type('members', 'list', 'Choir')).members[1];
  expect(await member(ana)).toMatchObject({ name: 'Uncle B', own_name: 'Ben' });
  expect(await member(ben)).toMatchObject({ name: 'Ben', own_name: null });

  await page.getByRole('button', { name: 'Call Uncle B something else' }).click();
  const again = page.getByRole('dialog', { name: 'What do you call Ben?' });
  expect(await again.getByLabel('Your name for them').inputValue()).toBe('Uncle B');
  await again.getByLabel('Your name for them').fill('');
  await again.getByRole('button', { name: 'Call them that' }).click();
  await page.getByText('Ben', { exact: true }).waitFor();
  expect(await member(ana)).toMatchObject({ name: 'Ben', own_name: null });
  expect(wrong).toEqual([]);
});

test('new keys are given from the settings, for what is there already if wished, and everybody reads on', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ana);
  await joins(ana, ben);
  const { page, wrong } = await open(browser, ana);
  await card(page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  await tab(page, 'Settings').click();
  await page.getByRole('button', { name: 'Give new keys' }).click();
  const sure = page.getByRole('dialog', { name: 'Give Choir new keys?' });
  await sure.getByRole('checkbox', { name: 'Lock what is in the files of now anew, too' }).check();
  await sure.getByText('are read again, and go to the backups once more').waitFor();
  await shot(page, '13-new-keys');
  await sure.getByRole('button', { name: 'Give new keys' }).click();
  await page.getByText('The folder has new keys.').waitFor();
  await until('the contents are under them', async () => (await ana.type('status', 'Choir')).folders[0].resealing === null);
  await page.getByRole('button', { name: 'Give new keys' }).waitFor();
  await shot(page, '13-new-keys-given');
  writeFileSync(join(ana.folder('Choir'), 'later.txt'), 'la\n');
  await inStep(ana, ben);
  const later = join(ben.folder('Choir'), 'later.txt');
  await until('Ben reads on', async () => existsSync(later) && readFileSync(later, 'utf8') === 'la\n');
  expect(wrong).toEqual([]);
});
