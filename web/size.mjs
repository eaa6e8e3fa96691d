// Holds the page to its size: all scripts and styles that one person's browser ever fetches, compressed. That is one catalogue of texts besides
// English, which comes with the page; the largest counts. What is fetched only when somebody asks for it has a bound of its own. Also that
// nothing points elsewhere.
import { readFileSync, readdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const BYTES_MAX = 150_000;
/** The reader of codes, by how its file's name begins: nobody loads it who scans nothing. */
const ON_DEMAND = { begins: 'decode-', bytesMax: 25_000 };
const dir = new URL('./dist/assets/', import.meta.url);
/** Catalogues of texts that are files of their own: of these a browser fetches one. */
const LANGUAGE = /^(de|es)-/;
let [bytes, onDemand] = [0, 0];
const languages = [];
for (const name of readdirSync(dir)) {
  if (!/\.(js|css)$/.test(name)) continue;
  const content = readFileSync(new URL(name, dir));
  const size = gzipSync(content).length;
  if (name.startsWith(ON_DEMAND.begins)) onDemand += size;
  else if (LANGUAGE.test(name)) languages.push(size);
  else bytes += size;
  // Names of XML namespaces are no addresses; the tools' own error texts name theirs, which nobody fetches.
  const foreign = [...content.toString().matchAll(/https?:\/\/([\w.-]+)/g)].map((found) => found[1]).filter((host) => !/^(www\.w3\.org|svelte\.dev|lucide\.dev)$/.test(host));
  if (foreign.length > 0) throw new Error(`${name} names other hosts: ${[...new Set(foreign)].join(', ')}`);
}
if (languages.length !== 2) throw new Error('a catalogue of texts is no file of its own any more');
bytes += Math.max(...languages);
const kB = (n) => `${(n / 1000).toFixed(1)} kB`;
console.log(`scripts and styles: ${kB(bytes)} compressed, of ${kB(BYTES_MAX)}; the reader of codes: ${kB(onDemand)}, of ${kB(ON_DEMAND.bytesMax)}`);
if (bytes > BYTES_MAX) throw new Error('the page is too large');
if (onDemand === 0 || onDemand > ON_DEMAND.bytesMax) throw new Error('the reader of codes is too large, or no file of its own any more');
