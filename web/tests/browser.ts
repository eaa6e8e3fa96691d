// Real Chromium, as Debian packages it. Every page is watched: an error, a refused resource, or a request to another host fails the story.

import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core';
import { expect, type TestContext } from 'vitest';
import { until, type Computer } from './world';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const SHOTS = resolve(import.meta.dirname, '../../target/web-shots');
const AXE = readFileSync(resolve(import.meta.dirname, '../node_modules/axe-core/axe.min.js'), 'utf8');
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export async function launch(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: [...ARGS, ...args] });
}

export interface Watched {
  page: Page;
  /** What went wrong in it. */
  wrong: string[];
}

/** A page of a person's, signed in. */
export async function open(browser: Browser, computer: Computer, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1180, height: 820 }, locale: 'en-US', timezoneId: 'UTC', ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const wrong: string[] = [];
  const failed: string[] = [];
  const link = await computer.link();
  const home = new URL(link).origin;
  page.on('pageerror', (why) => wrong.push(`error: ${why.message}`));
  page.on('console', (said) => {
    // A refusal of the service that a story provokes is no fault of the page.
    if (said.type() === 'error' && !said.text().startsWith('Failed to load resource')) wrong.push(`console: ${said.text()}`);
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(`${home}/`) && !url.startsWith('blob:')) wrong.push(`asked ${url}`);
  });
  page.on('requestfailed', (request) => failed.push(`${request.method()} ${request.url()}: ${request.failure()?.errorText}`));
  await page.goto(link);
  try {
    await page.locator('header nav').waitFor();
    await page.getByRole('heading', { level: 1 }).waitFor();
  } catch (why) {
    const shown = await page.locator('body').innerText();
    throw new Error(`the page of ${home} does not open; it shows:\n${shown}\n${[...wrong, ...failed].join('\n')}`, { cause: why });
  }
  return { page, wrong };
}

/** Keeps a picture of it below target/, and has axe look at it. */
export async function shot(page: Page, name: string): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), animations: 'disabled' });
  // What the header covers, it covers until one scrolls.
  await page.evaluate(() => scrollTo(0, 0));
  const found = await page.evaluate(`${AXE};axe.run({runOnly:['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']})`);
  const broken = (found as { violations: { id: string; nodes: { html: string }[] }[] }).violations;
  expect(broken.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}`)), name).toEqual([]);
}

/** The texts of `count` items, once so many are there: of its own accord the browser's driver takes those it sees at this instant. */
export async function texts(items: Locator, count: number): Promise<string[]> {
  await items.nth(count - 1).waitFor();
  return items.allTextContents();
}

/** What has the focus, by what a screen reader would call it. */
export async function focused(page: Page): Promise<string> {
  return page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent?.trim() ?? '');
}

/** Waits until what has the focus is called so: whoever takes a question away moves the focus a moment later. */
export async function focusOn(page: Page, name: RegExp): Promise<void> {
  await until(`the focus is on ${name}`, async () => name.test(await focused(page)));
}

/** Presses Tab until what has the focus is called so. */
export async function tabTo(page: Page, name: RegExp): Promise<void> {
  for (let i = 0; i < 120; i++) {
    await page.keyboard.press('Tab');
    if (name.test(await focused(page))) return;
  }
  throw new Error(`Tab never comes to ${name}`);
}

/** Closes all pages after a story. Of one that failed it is first said and kept what they showed: the same may not come again soon. */
export async function leave(browser: Browser, { task }: Pick<TestContext, 'task'>): Promise<void> {
  const pages = browser.contexts().flatMap((context) => context.pages());
  if (task.result?.state === 'fail') {
    mkdirSync(SHOTS, { recursive: true });
    for (const [i, page] of pages.entries()) {
      const focus = await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 300)).catch(String);
      console.log(`${task.name}\n${page.url().replace(/.*#/, '#')}, the focus on ${focus}\n${await page.locator('body').innerText().catch(String)}`);
      await page.screenshot({ path: join(SHOTS, `failed-${task.name.replace(/\W+/g, '-').slice(0, 60)}-${i}.png`) }).catch(() => {});
    }
  }
  await Promise.all(browser.contexts().map((context) => context.close()));
}
