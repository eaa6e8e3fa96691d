// The stage of a file of stories: one browser for all of them and a world for each, ended whatever happens.

import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { launch, leave } from './browser';
import { World } from './world';

export let browser: Browser;
export let world: World;

/** To be called once, before the first story. */
export function stage(): void {
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());
  beforeEach(() => {
    world = new World();
  });
  afterEach(async (story) => {
    await leave(browser, story);
    await world.end();
  });
}
