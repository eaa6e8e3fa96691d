// The lines of a schedule, as the service has them and as they stand in a form: `weekdays 08:00-17:00 paused`.

export const DAYS = ['daily', 'weekdays', 'weekend'] as const;
export const HOLDS = ['unlimited', 'limited', 'paused'] as const;

export interface Rule {
  days: (typeof DAYS)[number];
  /** Hours and minutes as a clock shows them: a day ends at 00:00. */
  from: string;
  until: string;
  holds: (typeof HOLDS)[number];
}

/** A line of the service's; it writes them all alike. */
export function readRule(line: string): Rule {
  const words = line.split(' ');
  const days = DAYS.find((one) => one === words[0]) ?? 'daily';
  const [hours = '', holds = ''] = days === words[0] ? words.slice(1) : words;
  const [from = '', until = ''] = hours.split('-');
  return { days, from, until: until === '24:00' ? '00:00' : until, holds: HOLDS.find((one) => one === holds) ?? 'limited' };
}

/** As the service reads it. */
export function writeRule({ days, from, until, holds }: Rule): string {
  return `${days === 'daily' ? '' : `${days} `}${from}-${until === '00:00' ? '24:00' : until} ${holds}`;
}

/** Whether all of it is filled in, and is a stretch of time. */
export function isWhole({ from, until }: Rule): boolean {
  return from !== '' && until !== '' && (from !== until || from === '00:00');
}

const MEGA = 1_000_000;

/** Bytes a second as they stand in a form, in millions; nothing for no limit. */
export const toForm = (bytes: number): number | null => (bytes === 0 ? null : bytes / MEGA);
/** ... and back. */
export const fromForm = (millions: number | null | undefined): number => Math.round((millions ?? 0) * MEGA);
