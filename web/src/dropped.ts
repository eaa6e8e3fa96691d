// What was dropped onto the page: files, and directories with all that is in them.

/** A file, and where it belongs beneath the directory it was dropped into. */
export interface Dropped {
  path: string;
  file: File;
}

/** So many are taken at once; for more, the directory on this computer is the better way. */
export const DROPPED_MAX = 10_000;

/** The files in these, as far as they are taken. Must be called while the drop is handled: afterwards the browser has forgotten it. */
export async function dropped(items: Iterable<DataTransferItem>): Promise<Dropped[]> {
  const found = [...items]
    .filter((item) => item.kind === 'file')
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files: Dropped[] = [];
  for (const one of found) {
    if (one instanceof File) files.push({ path: one.name, file: one });
    else if (one) await walk(one, '', files);
  }
  return files.slice(0, DROPPED_MAX);
}

async function walk(entry: FileSystemEntry, above: string, files: Dropped[]): Promise<void> {
  const path = above + entry.name;
  if (files.length > DROPPED_MAX) return;
  if (entry.isFile) {
    const file = await new Promise<File>((then, failed) => (entry as FileSystemFileEntry).file(then, failed));
    files.push({ path, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    // A browser gives a hundred at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((then, failed) => reader.readEntries(then, failed));
    if (some.length === 0) return;
    for (const one of some) await walk(one, `${path}/`, files);
  }
}
