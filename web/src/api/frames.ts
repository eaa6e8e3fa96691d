// Server-sent events as they come over the wire.

/** Cuts a stream of server-sent events into the data of each, keeping what is incomplete. */
export function frames(): (text: string) => string[] {
  let rest = '';
  return (text) => {
    const parts = (rest + text).split('\n\n');
    rest = parts.pop() ?? '';
    return parts
      .map((frame) =>
        frame
          .split('\n')
          .filter((line) => line.startsWith('data:'))
          .map((line) => line.slice(5).trimStart())
          .join('\n'),
      )
      .filter((data) => data !== '');
  };
}
