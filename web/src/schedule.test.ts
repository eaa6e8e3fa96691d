import { expect, test } from 'vitest';
import { fromForm, isWhole, readRule, toForm, writeRule } from './schedule';

test.each(['22:00-06:00 unlimited', 'weekdays 08:00-17:30 paused', 'weekend 00:00-24:00 limited'])('%s is written as it is read', (line) => {
  expect(writeRule(readRule(line))).toBe(line);
});

test('a day ends at midnight, as a clock shows it', () => {
  expect(readRule('22:00-24:00 paused')).toEqual({ days: 'daily', from: '22:00', until: '00:00', holds: 'paused' });
});

test('what is half filled in, or no time at all, is not whole', () => {
  const rule = readRule('22:00-06:00 paused');
  expect(isWhole(rule)).toBe(true);
  expect(isWhole({ ...rule, until: '' })).toBe(false);
  expect(isWhole({ ...rule, until: '22:00' })).toBe(false);
  expect(isWhole({ ...rule, from: '00:00', until: '00:00' })).toBe(true);
});

test('an empty field is no limit', () => {
  expect([toForm(0), toForm(500_000)]).toEqual([null, 0.5]);
  expect([fromForm(null), fromForm(undefined), fromForm(0.5), fromForm(2)]).toEqual([0, 0, 500_000, 2_000_000]);
});
