import { expect, test } from 'vitest';
import { Pace } from './pace';

test('the rest is told from how fast it went lately', () => {
  const pace = new Pace();
  pace.note(0, 100);
  expect(pace.seconds()).toBeNull();
  pace.note(1_000, 90);
  expect(pace.seconds()).toBeNull();
  pace.note(5_000, 50);
  expect(pace.seconds()).toBe(5);
  pace.note(30_000, 40);
  expect(pace.seconds()).toBeNull();
});

test('what is added begins it anew, and what stands still has no end', () => {
  const pace = new Pace();
  pace.note(0, 100);
  pace.note(5_000, 50);
  pace.note(6_000, 500);
  expect(pace.seconds()).toBeNull();
  pace.note(12_000, 500);
  expect(pace.seconds()).toBeNull();
});
