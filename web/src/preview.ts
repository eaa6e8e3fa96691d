// What of a file may be looked at in the page. A picture or a text, and nothing that could hold a program: such a picture (SVG) is
// shown as the text it is. The type is ours, by the end of the name, never the file's own word.

/** More than this is only to be downloaded. */
export const PREVIEW_BYTES_MAX = 32_000_000;
/** So much of a text is shown. */
export const TEXT_BYTES_MAX = 200_000;

const IMAGES: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
  bmp: 'image/bmp',
};
const TEXTS = new Set(
  'txt md csv tsv log json xml html htm svg css js ts rs py sh c h cpp java go rb yaml yml toml ini conf tex srt vcf ics eml'.split(' '),
);

function extension(name: string): string {
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : '';
}

export function kindOfPreview(name: string): 'image' | 'text' | null {
  const end = extension(name);
  if (Object.hasOwn(IMAGES, end)) return 'image';
  return TEXTS.has(end) ? 'text' : null;
}

/** The type under which the browser is given the bytes. */
export function typeOfPreview(name: string): string {
  const end = extension(name);
  return Object.hasOwn(IMAGES, end) ? (IMAGES[end] ?? 'text/plain') : 'text/plain;charset=utf-8';
}
