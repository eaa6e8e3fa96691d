// Every text of the page comes from one catalogue. English is the measure: a key or a {placeholder} that another language lacks does
// not build. Numbers, sizes and times are put into words by the browser's own Intl.

import { en } from './en';

type Counted = { readonly one: string; readonly other: string };
type Catalogue = typeof en;
export type Key = keyof Catalogue;
/** What a translation must have. */
export type Words = { readonly [K in Key]: Catalogue[K] extends string ? string : Counted };

type Placeholders<S> = S extends `${string}{${infer P}}${infer Rest}` ? P | Placeholders<Rest> : never;
/** A text with a plural always takes the number it is of. */
type Needs<K extends Key> = Catalogue[K] extends { readonly one: infer O; readonly other: infer M }
  ? Placeholders<O | M> | 'n'
  : Placeholders<Catalogue[K]>;
type Given<K extends Key> = [Needs<K>] extends [never] ? [] : [{ readonly [P in Needs<K>]: string | number }];

export const LANGUAGES = { en: 'English', de: 'Deutsch', es: 'Español' } as const;
export type Language = keyof typeof LANGUAGES;

const load: Record<Language, () => Promise<Words>> = {
  en: async () => en,
  de: async () => (await import('./de')).de,
  es: async () => (await import('./es')).es,
};

let language = $state<Language>('en');
let words = $state.raw<Words>(en);
let now = $state(Date.now());
setInterval(() => (now = Date.now()), 15_000);

export function isLanguage(name: string): name is Language {
  return name in LANGUAGES;
}

/** The first of the browser's languages that the page has. */
export function preferred(wanted: readonly string[]): Language {
  const found = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find(isLanguage);
  return found ?? 'en';
}

export async function speak(next: Language): Promise<void> {
  words = await load[next]();
  language = next;
  document.documentElement.lang = next;
}

export function spoken(): Language {
  return language;
}

/** Puts values into a text. */
export function fill(text: string, values: Readonly<Record<string, string | number>>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? number(value) : value;
  });
}

/** A text of the catalogue; one with a plural takes it from `n`. */
export function t<K extends Key>(key: K, ...given: Given<K>): string {
  const values: Readonly<Record<string, string | number>> = given[0] ?? {};
  const text: string | Counted = words[key];
  if (typeof text === 'string') return fill(text, values);
  const rule = new Intl.PluralRules(language).select(Number(values.n));
  return fill(rule === 'one' ? text.one : text.other, values);
}

export function number(n: number): string {
  return new Intl.NumberFormat(language).format(n);
}

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;

/** 3.4 GB: thousands, as disks are sold and as the command line says it. */
export function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 999.5 && unit < UNITS.length - 1) [value, unit] = [value / 1000, unit + 1];
  const digits = unit > 0 && value < 99.5 ? 1 : 0;
  return new Intl.NumberFormat(language, {
    style: 'unit',
    unit: UNITS[unit],
    unitDisplay: unit === 0 ? 'long' : 'short',
    maximumFractionDigits: digits,
  }).format(value);
}

const STEPS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const;

/** 5 minutes ago; moves on by itself. */
export function ago(moment: string): string {
  const seconds = Math.round((Date.parse(moment) - Math.max(now, Date.now())) / 1000);
  const step = STEPS.find(([, length]) => Math.abs(seconds) >= length);
  if (!step) return t('time.justNow');
  const format = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  return format.format(Math.trunc(seconds / step[1]), step[0]);
}

/** About 3 minutes. */
export function lasting(seconds: number): string {
  const step = STEPS.find(([, length]) => seconds >= length) ?? (['second', 1] as const);
  return new Intl.NumberFormat(language, {
    style: 'unit',
    unit: step[0],
    unitDisplay: 'long',
    maximumFractionDigits: 0,
  }).format(Math.max(1, Math.ceil(seconds / step[1])));
}

/** 22 November 2026, 15:00. */
export function moment(at: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(new Date(at));
}

/** 22 November 2026, 15:00:07: to the second, where moments are told apart. */
export function exactly(at: Date): string {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'medium' }).format(at);
}

/** 15:00 if it was today, else with the day. */
export function since(at: string): string {
  const [then, today] = [new Date(at), new Date(Math.max(now, Date.now()))];
  const dateStyle = then.toDateString() === today.toDateString() ? undefined : 'medium';
  return new Intl.DateTimeFormat(language, { dateStyle, timeStyle: 'short' }).format(then);
}

/** 15:00:07. */
export function clock(at: string): string {
  return new Intl.DateTimeFormat(language, { timeStyle: 'medium' }).format(new Date(at));
}

export function day(at: Date): string {
  return new Intl.DateTimeFormat(language, { dateStyle: 'long' }).format(at);
}

/** Ana, Ben and Carla. */
export function list(names: readonly string[]): string {
  return new Intl.ListFormat(language, { type: 'conjunction' }).format(names);
}
