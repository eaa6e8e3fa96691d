// What strangers try through the browser (failures B.11): names that want to be programs, pages from elsewhere, another name for this
// machine. In real Chromium, against the real service.

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { launch, leave, open } from './browser';
import { bothWrite, inStep, joins } from './story';
import { World } from './world';

/** Each would say so if it ran. A name can hold no slash. */
const PAYLOADS = [
  '<script>pwned()<\u2215script>',
  '<img src=x onerror=pwned()>',
  '<svg onload=pwned()>',
  '"><script>pwned()<\u2215script>',
  "'><img src=x onerror=pwned()>",
  '" onmouseover="pwned()',
  "' onfocus='pwned()' autofocus='",
  'javascript:pwned()',
  'data:text,<script>pwned()',
  '<iframe srcdoc="<script>parent.pwned()">',
  '<iframe src=javascript:parent.pwned()>',
  '<object data=javascript:pwned()>',
  '<embed src=javascript:pwned()>',
  '<a href=javascript:pwned()>click',
  '<form action=javascript:pwned()><input type=submit>',
  '<button formaction=javascript:pwned()>x',
  '<details open ontoggle=pwned()>',
  '<video src=x onerror=pwned()>',
  '<audio src=x onerror=pwned()>',
  '<body onload=pwned()>',
  '<style>@import url(http:evil)',
  '<link rel=stylesheet href=x onerror=pwned()>',
  '<meta http-equiv=refresh content=0;url=javascript:pwned()>',
  '<base href=javascript:pwned()>',
  '<math><maction actiontype=statusline xlink:href=javascript:pwned()>',
  '<input autofocus onfocus=pwned()>',
  '<select autofocus onfocus=pwned()>',
  '<textarea autofocus onfocus=pwned()>',
  '<marquee onstart=pwned()>',
  '<template><script>pwned()',
  '{{constructor.constructor("pwned()")()}}',
  '${pwned()}',
  '{@html pwned()}',
  '{pwned()}',
  '<!--><script>pwned()-->',
  ']]><script>pwned()',
  '&lt;script&gt;pwned()&lt;&sol;script&gt;',
  '\u202e<script>pwned()',
  '<scr\u00adipt>pwned()',
  '<svg><animate onbegin=pwned() attributeName=x dur=1s>',
  '<img src=x:x onerror=pwned() alt=`',
  'x" style="background:url(javascript:pwned())',
];

let browser: Browser;
let world: World;
let evil: Server;
let evilPort: number;
beforeAll(async () => {
  // Two names of strangers lead to this machine, as a resolver of theirs would have it.
  browser = await launch(['--host-resolver-rules=MAP *.test 127.0.0.1']);
  evil = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>evil</title>'));
  await new Promise<void>((then) => evil.listen(0, '127.0.0.1', then));
  evilPort = (evil.address() as AddressInfo).port;
});
afterAll(async () => {
  await browser?.close();
  evil?.close();
});
beforeEach(() => {
  world = new World();
});
afterEach(async (story) => {
  await leave(browser, story);
  await world.end();
});

test('w8 x11: forty names and contents that want to be programs are only shown', async () => {
  expect(PAYLOADS.length).toBeGreaterThanOrEqual(40);
  const ana = await world.person('<img src=x onerror=pwned()>');
  const place = ana.folder('evil');
  mkdirSync(place);
  PAYLOADS.forEach((payload, i) => writeFileSync(join(place, `${i} ${payload}`), payload));
  writeFileSync(join(place, 'look.html'), `<script>parent.pwned();top.pwned()</script>${PAYLOADS.join('\n')}`);
  writeFileSync(join(place, 'look.svg'), '<svg xmlns="http://www.w3.org/2000/svg" onload="parent.pwned()"><script>parent.pwned()</script></svg>');
  const { folder } = await ana.type('create', place, '--name', '<p onclick=pwned()>');
  mkdirSync(ana.folder('more'));
  for (const payload of PAYLOADS.slice(0, 8)) {
    const dir = join(ana.folder('more'), payload);
    mkdirSync(dir);
    await ana.type('create', dir, '--name', payload);
  }
  await ana.type('status', '--wait', '--timeout', '60');

  const { page, wrong } = await open(browser, ana);
  let ran = 0;
  await page.exposeFunction('pwned', () => (ran += 1));
  page.on('dialog', (dialog) => (wrong.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  for (const payload of PAYLOADS.slice(0, 8)) await page.getByRole('article', { name: payload, exact: true }).waitFor();
  for (const part of ['', 'files', 'people', 'backups', 'conflicts', 'held', 'settings']) {
    await page.goto(`${new URL(page.url()).origin}/#/folder/${folder.id}/${part}`);
    await page.getByRole('heading', { name: '<p onclick=pwned()>' }).waitFor();
    if (part === 'files') {
      for (const [i, payload] of PAYLOADS.entries()) {
        await page.getByLabel('Search by name').fill(`${i} ${payload.slice(0, 12)}`);
        await page.getByRole('button', { name: `${i} ${payload}` }).first().hover();
      }
      for (const name of ['look.html', 'look.svg']) {
        await page.getByLabel('Search by name').fill(name);
        await page.getByRole('button', { name }).click();
        await page.frameLocator('iframe').getByText('<script>parent.pwned()').waitFor();
        expect(await page.locator('iframe').getAttribute('sandbox')).toBe('');
        await page.getByRole('button', { name: 'Close' }).click();
      }
    }
  }
  for (const screen of ['activity', 'computer']) {
    await page.goto(`${new URL(page.url()).origin}/#/${screen}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
  }
  expect(ran).toBe(0);
  expect(wrong.filter((what) => !what.includes("frame") || !what.includes('sandboxed'))).toEqual([]);
});

test('w8 x11: in history, among deleted files, and line by line in a comparison they are only shown, too', async () => {
  const [ana, ben] = await Promise.all([world.person('<img src=x onerror=pwned()>'), world.person('Ben"><script>pwned()</script>')]);
  const place = ana.folder('Choir');
  mkdirSync(place);
  PAYLOADS.forEach((payload, i) => writeFileSync(join(place, `${i} ${payload}`), payload));
  writeFileSync(join(place, PAYLOADS[1] ?? ''), 'first\n');
  await ana.type('create', place);
  await inStep(ana);
  await joins(ana, ben);
  PAYLOADS.slice(0, 20).forEach((payload, i) => rmSync(join(place, `${i} ${payload}`)));
  await inStep(ana, ben);
  const spoilt = (word: string) => `${PAYLOADS.map((payload) => `${payload} ${word}`).join('\n')}\n`;
  await bothWrite(ana, ben, PAYLOADS[1] ?? '', spoilt('hers'), spoilt('his'));

  const { page, wrong } = await open(browser, ana);
  let ran = 0;
  await page.exposeFunction('pwned', () => (ran += 1));
  page.on('dialog', (dialog) => (wrong.push(`dialog: ${dialog.message()}`), dialog.dismiss()));
  const { folders } = await ana.type('folders');
  const go = (part: string) => page.goto(`${new URL(page.url()).origin}/#/folder/${folders[0].id}/${part}`);
  await go('conflicts');
  for (const payload of PAYLOADS) await page.getByRole('deletion').or(page.getByRole('insertion')).getByText(`${payload} his`, { exact: true }).first().waitFor();
  await page.getByRole('button', { name: /^Keep this one/ }).first().click();
  await page.getByRole('dialog').getByText('leaves the folder').waitFor();
  await page.keyboard.press('Escape');
  await go('trash');
  await page.getByText(`19 ${PAYLOADS[19]}`).first().waitFor();
  await page.getByRole('button', { name: /^Bring all back/ }).click();
  await page.getByRole('dialog').getByText('files are written as they were then').waitFor();
  await page.keyboard.press('Escape');
  await go('history');
  await page.getByText(`added 39 ${PAYLOADS[39]}`).first().waitFor();
  await go(`versions/${encodeURIComponent(PAYLOADS[1] ?? '')}`);
  await page.getByText('as it is now').or(page.getByText('Changed by')).first().waitFor();
  await go('people');
  await page.getByRole('button', { name: /^Remove Ben/ }).click();
  await page.getByRole('dialog').getByText('What Ben').first().waitFor();
  await page.keyboard.press('Escape');
  expect(ran).toBe(0);
  expect(wrong).toEqual([]);
});

test('w1 w3 w4 w5: a page from elsewhere can neither act nor read nor frame', async () => {
  const ana = await world.person('Ana');
  mkdirSync(ana.folder('Choir'));
  await ana.type('create', ana.folder('Choir'));
  const home = new URL(await ana.link()).origin;
  mkdirSync(ana.folder('stolen'));
  for (const origin of [`http://127.0.0.1:${evilPort}`, `http://localhost:${evilPort}`, `http://evil.test:${evilPort}`]) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(origin);
    const read = await page.evaluate(
      async ({ home, stolen }) => {
        const got: string[] = [];
        const body = JSON.stringify({ path: stolen });
        const tries: [string, () => Promise<unknown>][] = [
          ['no-cors', () => fetch(`${home}/api/v1/folders`, { method: 'POST', mode: 'no-cors', body })],
          ['cors', () => fetch(`${home}/api/v1/folders`, { method: 'POST', body, headers: { 'content-type': 'application/json', authorization: 'Bearer x' } })],
          ['down', () => fetch(`${home}/api/v1/down`, { method: 'POST', mode: 'no-cors' })],
          ['login', () => fetch(`${home}/api/v1/login`, { method: 'POST', mode: 'no-cors', body: '{"code":"x"}' })],
          ['page', () => fetch(`${home}/`)],
          ['document', () => fetch(`${home}/api/v1/openapi.json`)],
        ];
        for (const [what, attempt] of tries) {
          const answer = (await attempt().catch(() => null)) as Response | null;
          if (answer && answer.type !== 'opaque') got.push(`${what}: ${answer.status}`);
        }
        navigator.sendBeacon(`${home}/api/v1/down`, '');
        const element = (tag: string, attributes: Record<string, string>) =>
          new Promise<void>((then) => {
            const made = Object.assign(document.createElement(tag), attributes) as HTMLElement;
            made.onload = () => (got.push(`${tag} loaded`), then());
            made.onerror = () => then();
            document.body.append(made);
            setTimeout(then, 1_500);
          });
        await element('img', { src: `${home}/api/v1/down` });
        await element('script', { src: `${home}/api/v1/openapi.json` });
        await element('link', { rel: 'stylesheet', href: `${home}/favicon.svg` });
        await new Promise<void>((then) => {
          const source = new EventSource(`${home}/api/v1/events`);
          source.onopen = () => (got.push('events'), then());
          source.onerror = () => (source.close(), then());
        });
        await new Promise<void>((then) => {
          const socket = new WebSocket(`${home.replace('http', 'ws')}/api/v1/events`);
          socket.onopen = () => (got.push('socket'), then());
          socket.onerror = () => then();
        });
        return got;
      },
      { home, stolen: ana.folder('stolen') },
    );
    expect(read, origin).toEqual([]);

    // A form that is sent there, and the page in a frame.
    await page.evaluate(
      ({ home, stolen }) => {
        for (const [name, action] of [['formed', `${home}/api/v1/folders`], ['down', `${home}/api/v1/down`]] as const) {
          const frame = Object.assign(document.createElement('iframe'), { name });
          const form = Object.assign(document.createElement('form'), { method: 'post', action, target: name, enctype: 'text/plain' });
          form.append(Object.assign(document.createElement('input'), { name: `{"path":"${stolen}","x":"`, value: '"}' }));
          document.body.append(frame, form);
          form.submit();
        }
        document.body.append(Object.assign(document.createElement('iframe'), { name: 'framed', src: `${home}/` }));
      },
      { home, stolen: ana.folder('stolen') },
    );
    await page.waitForTimeout(500);
    for (const frame of page.frames().slice(1)) expect(await frame.locator('#app').count().catch(() => 0)).toBe(0);

    // A window of it: opened, but out of reach.
    const opened = context.waitForEvent('page');
    await page.evaluate((home) => void Object.assign(window, { other: window.open(`${home}/#login=guess`) }), home);
    const other = await opened;
    await other.getByText(/You are not signed in|foreign_origin/).waitFor();
    expect(await page.evaluate(() => (window as unknown as { other: Window }).other.closed), 'cut off by its opener policy').toBe(true);
    await context.close();
  }
  const { folders } = await ana.type('folders');
  expect(folders.map((folder: { name: string }) => folder.name)).toEqual(['Choir']);
});

test('w2 x12: another name for this machine gets nothing, from any route', async () => {
  const ana = await world.person('Ana');
  const link = new URL(await ana.link());
  const page = await (await browser.newContext()).newPage();
  for (const host of ['rebound.test', 'localhost.evil.test', '127.0.0.1.nip.test']) {
    for (const path of ['/', '/favicon.svg', '/assets/licences.json', '/api/v1/openapi.json', '/api/v1/status', '/nothing']) {
      const answer = await page.goto(`http://${host}:${link.port}${path}`);
      expect(answer?.status(), `${host}${path}`).toBe(403);
      expect(await answer?.text()).toContain('foreign_origin');
    }
    // From a page of that name, which the browser takes for the same origin.
    const read = await page.evaluate(async () => (await fetch('/api/v1/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"code":"x"}' })).status);
    expect(read).toBe(403);
  }
  expect((await page.goto(`http://localhost:${link.port}/`))?.status()).toBe(200);
});

test('w6: cobox open gives the browser a file and no secret, and the file sends it on', async () => {
  const ana = await world.person('Ana');
  const bin = join(ana.directory, 'bin');
  const given = join(ana.directory, 'given');
  mkdirSync(bin);
  writeFileSync(join(bin, 'xdg-open'), `#!/bin/sh\nprintf %s "$*" > '${given}'\n`, { mode: 0o755 });
  expect(await ana.type('open')).toEqual({ opened: true });
  const door = readFileSync(given, 'utf8');
  expect(door).toBe(join(ana.directory, 'home', 'open.html'));
  expect(statSync(door).mode & 0o777).toBe(0o600);
  const page = await (await browser.newContext()).newPage();
  await page.goto(`file://${door}`);
  await page.getByRole('heading', { name: 'Welcome, Ana' }).waitFor();
  expect(page.url()).not.toContain('login');
});

test('w6: the link opens once, and no history, referrer or storage of others holds it', async () => {
  const ana = await world.person('Ana');
  const link = await ana.link();
  const context = await browser.newContext();
  const page = await context.newPage();
  const headers: string[] = [];
  page.on('request', (request) => headers.push(request.url(), JSON.stringify(request.headers())));
  await page.goto(link);
  await page.getByRole('heading', { name: 'Welcome, Ana' }).waitFor();
  const code = link.split('#login=')[1] ?? 'none';
  expect(page.url()).toBe(`${new URL(link).origin}/`);
  expect(headers.filter((text) => text.includes('referer')).join()).not.toContain(code);
  expect(headers.filter((text) => text.startsWith('http') && text.includes(code) && text !== link)).toEqual([]);
  expect(await page.evaluate(() => history.length)).toBeLessThanOrEqual(2);
  // A second time, elsewhere: nothing.
  const other = await (await browser.newContext()).newPage();
  await other.goto(link);
  await other.getByText('You are not signed in').waitFor();
  await other.getByText('already').waitFor();
  // A reload stays signed in; another tab does not inherit it.
  await page.reload();
  await page.getByRole('heading', { name: 'Welcome, Ana' }).waitFor();
  const tab = await context.newPage();
  await tab.goto(new URL(link).origin);
  await tab.getByText('You are not signed in').waitFor();
});
