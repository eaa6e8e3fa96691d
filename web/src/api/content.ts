// A file's content, in and out. The token goes into the header alone, so neither is a plain link.

import { authorization, Failure, failureOf, GONE, type Schemas } from './client';

function address(folder: string, path: string): string {
  return `/api/v1/folders/${encodeURIComponent(folder)}/files/content?path=${encodeURIComponent(path)}`;
}

/** The file's bytes. */
export async function content(folder: string, path: string, progress: (part: number) => void, signal?: AbortSignal): Promise<Blob> {
  let answer: Response;
  try {
    answer = await fetch(address(folder, path), { headers: authorization(), cache: 'no-store', ...(signal && { signal }) });
  } catch {
    throw new Failure(GONE, '');
  }
  if (!answer.ok || !answer.body) throw failureOf(answer.status, await answer.json().catch(() => null));
  const whole = Number(answer.headers.get('content-length')) || 1;
  let here = 0;
  const counted = answer.body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(part, out) {
        here += part.byteLength;
        progress(here / whole);
        out.enqueue(part);
      },
    }),
  );
  return new Response(counted).blob();
}

/** Has the browser save a blob under a name. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Puts a file into the folder. fetch does not tell how much of a body has gone, so this is the older way. */
export function upload(
  folder: string,
  path: string,
  file: Blob,
  progress: (part: number) => void,
  signal: AbortSignal,
): Promise<Schemas['FileAdded']> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open('POST', address(folder, path));
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.responseType = 'json';
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(1, event.total));
    request.onload = () =>
      request.status === 200 ? done(request.response as Schemas['FileAdded']) : failed(failureOf(request.status, request.response));
    request.onerror = request.onabort = () => failed(new Failure(GONE, ''));
    signal.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}
