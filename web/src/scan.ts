// Reads a code that was drawn to be photographed. The reader is a file of its own that is fetched when somebody wants to scan.

/** Dots on the longer side that are looked at: enough for the densest of our codes, and quick. */
const DOTS_MAX = 1_280;
/** How hard a single picture is looked at, and for how long; of a camera's there is another in a moment. */
const PICTURE = { effort: 4, timeLimit: 2_000 };

/** Whether the text of a code begins as one of these do: `cbi1`, `cbo1`, ... */
export function begins(text: string, marks: readonly string[]): boolean {
  const start = text.trim().toLowerCase();
  return marks.some((mark) => start.startsWith(mark));
}

/** The size at which something is looked at. */
export function fitted(width: number, height: number): [number, number] {
  const scale = Math.min(1, DOTS_MAX / Math.max(width, height, 1));
  return [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
}

/** Makes a function that reads the code in what is handed to it; `null`: there is none that can be read. */
export async function reader(): Promise<(source: HTMLVideoElement | ImageBitmap) => string | null> {
  const { decodeQR } = await import('qr/decode.js');
  const canvas = document.createElement('canvas');
  const brush = canvas.getContext('2d', { willReadFrequently: true });
  return (source) => {
    const isVideo = source instanceof HTMLVideoElement;
    const [width, height] = isVideo ? fitted(source.videoWidth, source.videoHeight) : fitted(source.width, source.height);
    if (!brush || (isVideo && source.videoWidth === 0)) return null;
    [canvas.width, canvas.height] = [width, height];
    brush.drawImage(source, 0, 0, width, height);
    try {
      return decodeQR(brush.getImageData(0, 0, width, height), isVideo ? {} : PICTURE);
    } catch {
      // It says so by throwing.
      return null;
    }
  };
}
