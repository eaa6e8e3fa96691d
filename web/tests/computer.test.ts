// This computer: how fast and when, whom it looks for, and whose work is in it; in the page, against real programs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { open, shot } from './browser';
import { browser, stage, world } from './stage';
import { card, choir } from './story';
import { until } from './world';

stage();

test('n10: limits and a schedule hold at once and are kept; a pause is said where one looks first', async () => {
  const ana = await world.person('Ana');
  await choir(ana);
  const { page, wrong } = await open(browser, ana);
  await page.getByRole('link', { name: 'This computer', exact: true }).click();
  const speed = page.getByRole('region', { name: 'How fast, and when' });
  await speed.getByText('This computer sends and receives as fast as it can.').waitFor();
  await speed.getByText('The limits hold always.').waitFor();
  await speed.getByLabel('Send at most, in MB a second').fill('0.5');
  await speed.getByRole('button', { name: 'Keep' }).click();
  await speed.getByText('Kept. It holds from now on.').waitFor();
  await speed.getByText('This computer keeps to the limits below.').waitFor();

  await speed.getByRole('button', { name: 'Add a time' }).click();
  const line = speed.getByRole('group', { name: 'Time 1' });
  await line.getByLabel('From').fill('00:00');
  await line.getByLabel('Until').fill('00:00');
  await line.getByLabel('What holds then').selectOption('nothing goes');
  await speed.getByLabel('In the local network, too').check();
  await shot(page, '9-speed');
  await page.setViewportSize({ width: 360, height: 740 });
  await line.scrollIntoViewIfNeeded();
  expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  await shot(page, '9-speed-phone');
  await page.setViewportSize({ width: 1180, height: 820 });
  await speed.getByRole('button', { name: 'Keep' }).click();
  await speed.getByText('By your schedule this computer sends and receives nothing now.').waitFor();
  const { settings, bandwidth } = await ana.type('config', 'list');
  expect([settings.send_max_bytes_s, settings.receive_max_bytes_s, settings.limits_on_lan]).toEqual([500_000, 0, true]);
  expect([settings.schedule, bandwidth]).toEqual([['00:00-24:00 paused'], 'paused']);

  await page.getByRole('link', { name: 'Folders' }).first().click();
  await page.getByText('By your schedule this computer sends and receives nothing now.').waitFor();
  await shot(page, '9-paused');
  await page.getByRole('main').getByRole('link', { name: 'This computer', exact: true }).click();
  await speed.getByRole('button', { name: 'Remove time 1' }).click();
  await speed.getByLabel('Send at most, in MB a second').fill('');
  await speed.getByRole('button', { name: 'Keep' }).click();
  await speed.getByText('This computer sends and receives as fast as it can.').waitFor();
  const kept = readFileSync(join(ana.directory, 'home', 'config.toml'), 'utf8');
  expect(kept).toContain('schedule = []');
  // Less than what is taken is refused before it is sent.
  await speed.getByLabel('Receive at most, in MB a second').fill('0.001');
  await speed.getByRole('button', { name: 'Keep' }).click();
  expect(await speed.getByLabel('Receive at most, in MB a second').evaluate((field: HTMLInputElement) => field.validity.rangeUnderflow)).toBe(true);
  expect((await ana.type('config', 'get', 'receive_max_bytes_s')).value).toBe(0);
  expect(wrong).toEqual([]);
});

test('looking for others in the local network is turned on and off, and where one is reached is shown', async () => {
  const ana = await world.person('Ana');
  const { page, wrong } = await open(browser, ana);
  await page.getByRole('link', { name: 'This computer', exact: true }).click();
  const net = page.getByRole('region', { name: 'Network' });
  const box = net.getByLabel('Find others in the local network');
  expect(await box.isChecked()).toBe(false);
  for (const address of (await ana.type('whoami')).addresses) await net.getByText(address, { exact: true }).waitFor();
  await box.check();
  await until('it is on', async () => (await ana.type('config', 'get', 'lan_discovery')).value);
  await box.uncheck();
  await until('it is off', async () => !(await ana.type('config', 'get', 'lan_discovery')).value);
  expect(wrong).toEqual([]);
});

test('a6: space for a friend: an offer is used, the copy is seen, and what its end means is said before', async () => {
  const [ana, ben] = await Promise.all([world.person('Ana'), world.person('Ben')]);
  await choir(ben);
  const [anas, bens] = [await open(browser, ana), await open(browser, ben)];
  await anas.page.getByRole('link', { name: 'This computer', exact: true }).click();
  const space = anas.page.getByRole('region', { name: 'Space for friends' });
  await space.getByRole('button', { name: 'Keep copies for others' }).click();
  await space.getByText('Nothing is kept for anybody yet.').waitFor();
  await space.getByRole('button', { name: 'Make an offer' }).click();
  const asked = anas.page.getByRole('dialog', { name: 'Make an offer' });
  await asked.getByLabel('For whom').fill('Ben’s <b>choir</b>');
  await asked.getByLabel('Room, in GB').fill('0.5');
  await shot(anas.page, '14-offer');
  await asked.getByRole('button', { name: 'Make the offer' }).click();
  const code = await asked.getByLabel('Hosting offer', { exact: true }).inputValue();
  await asked.getByText('History is kept for at least 90 days.').waitFor();
  await shot(anas.page, '14-offer-made');
  await asked.getByRole('button', { name: 'Done' }).click();
  await space.getByText('One offer is not used yet.').waitFor();

  await card(bens.page, 'Choir').getByRole('link', { name: 'Choir', exact: true }).click();
  await bens.page.getByRole('link', { name: 'Add a backup' }).click();
  await bens.page.getByLabel('Hosting offer').fill(code);
  await bens.page.getByRole('button', { name: 'Add the backup' }).click();
  await bens.page.getByText('complete, confirmed just now').first().waitFor();
  const kept = space.getByRole('listitem').filter({ hasText: 'Ben’s <b>choir</b>' });
  await kept.getByText('All of the newest state is here').waitFor();
  await kept.getByText('Connected now.').waitFor();
  await kept.scrollIntoViewIfNeeded();
  await shot(anas.page, '14-kept');
  await anas.page.setViewportSize({ width: 360, height: 740 });
  await kept.scrollIntoViewIfNeeded();
  expect(await anas.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)).toBeLessThanOrEqual(0);
  await shot(anas.page, '14-kept-phone');
  await anas.page.setViewportSize({ width: 1180, height: 820 });

  await kept.getByRole('button', { name: /^Keep it no longer/ }).click();
  const sure = anas.page.getByRole('dialog', { name: /^Keep Ben’s <b>choir<\/b> no longer/ });
  await sure.getByText('It may be their last copy').waitFor();
  await shot(anas.page, '14-drop');
  await sure.getByRole('button', { name: 'Delete their copy' }).click();
  await space.getByText('Nothing is kept for anybody yet.').waitFor();
  await space.getByText('The copy for Ben’s <b>choir</b> is deleted.').waitFor();
  await space.getByRole('button', { name: 'Stop for now' }).click();
  await space.getByRole('button', { name: 'Keep copies for others' }).waitFor();
  expect(anas.wrong).toEqual([]);
  expect(bens.wrong).toEqual([]);
});

test('the works of others in the page and in the program are named with their licences', async () => {
  const ana = await world.person('Ana');
  const { page, wrong } = await open(browser, ana);
  await page.getByRole('link', { name: 'This computer', exact: true }).click();
  await page.getByRole('link', { name: 'About cobox' }).click();
  await page.getByRole('list', { name: 'In this page' }).getByText(/^svelte 5\.[\d.]+ · MIT$/).waitFor();
  await page.getByRole('list', { name: 'In the program' }).getByText(/^tokio 1\.[\d.]+ · MIT$/).waitFor();
  expect(wrong).toEqual([]);
});
