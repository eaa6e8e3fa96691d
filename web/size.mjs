// Holds the page to its size: scripts and styles as a browser would fetch them, compressed. Also that nothing points elsewhere.
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BYTES_MAX = 150_000;
const dir = new URL('./dist/assets/', import.meta.url);
let bytes = 0;
for (const name of readdirSync(dir)) {
  if (!/\.(js|css)$/.test(name)) continue;
  const content = readFileSync(new URL(name, dir));
  bytes += gzipSync(content).length;
  // Names of XML namespaces are no addresses; the tools' own error texts name theirs, which nobody fetches.
  const foreign = [...content.toString().matchAll(/https?:\/\/([\w.-]+)/g)].map((found) => found[1]).filter((host) => !/^(www\.w3\.org|svelte\.dev|lucide\.dev)$/.test(host));
  if (foreign.length > 0) throw new Error(`${name} names other hosts: ${[...new Set(foreign)].join(', ')}`);
}
console.log(`scripts and styles: ${(bytes / 1000).toFixed(1)} kB compressed, of ${BYTES_MAX / 1000} kB`);
if (bytes > BYTES_MAX) throw new Error('the page is too large');
