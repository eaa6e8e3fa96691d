// The difference of two texts, as the service tells it (a unified diff), laid out side by side. Pure.

/** One line of the comparison; `null` where the other text has a line and this one has none. A gap stands for lines that are the same. */
export type Row = { gap: true } | { gap: false; left: string | null; right: string | null; same: boolean };

/** More lines than this are not drawn. */
export const ROWS_MAX = 500;
/** More of a line than this is not drawn. */
const LINE_CHARS_MAX = 1_000;

function cut(line: string): string {
  return line.length > LINE_CHARS_MAX ? `${line.slice(0, LINE_CHARS_MAX)}…` : line;
}

/** Lines that begin with `-` are left alone, with `+` right alone; what changed stands opposite to what it became. */
export function sideBySide(unified: string): { rows: Row[]; cut: boolean } {
  const rows: Row[] = [];
  let [left, right]: [string[], string[]] = [[], []];
  const flush = () => {
    for (let i = 0; i < Math.max(left.length, right.length); i++) {
      rows.push({ gap: false, left: left[i] ?? null, right: right[i] ?? null, same: false });
    }
    [left, right] = [[], []];
  };
  for (const line of unified.replace(/\n$/, '').split('\n')) {
    const rest = cut(line.slice(1));
    if (line.startsWith('@@')) {
      flush();
      if (rows.length > 0) rows.push({ gap: true });
    } else if (line.startsWith('-')) {
      // A removal after an addition begins another change.
      if (right.length > 0) flush();
      left.push(rest);
    } else if (line.startsWith('+')) {
      right.push(rest);
    } else if (line.startsWith(' ')) {
      flush();
      rows.push({ gap: false, left: rest, right: rest, same: true });
    }
    // What remains, `\ No newline at end of file`, is nothing a person has written.
  }
  flush();
  return { rows: rows.slice(0, ROWS_MAX), cut: rows.length > ROWS_MAX };
}
