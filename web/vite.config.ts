// Builds the page into `dist`, from where the program embeds it. What must hold: nothing inline, since the page's security policy
// forbids inline scripts and styles; names carry a hash, so that a browser may keep them for ever; no licence comment is lost.
// Vite stays at 8.3 in package.json: 8.4.0 names an optional package that the registry does not have, and `npm ci` then refuses the lock file.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    // One sheet: a dozen small ones take half as much again when compressed, and each is asked for.
    cssCodeSplit: false,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    license: { fileName: 'assets/licences.json' },
  },
  test: {
    projects: [
      { extends: true, test: { name: 'speed', include: ['tests/**/*.speed.ts'] } },
      { extends: true, test: { name: 'unit', include: ['src/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['tests/**/*.test.ts'],
          // Each story starts real programs and waits for them; one file after the other took half as long again.
          maxWorkers: 2,
          testTimeout: 150_000,
          hookTimeout: 90_000,
        },
      },
    ],
  },
});
