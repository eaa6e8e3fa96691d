import { expect, test } from 'vitest';
import { Pages, piecesOf } from './pages.svelte';

test('what is in sight lies in these pieces', () => {
  expect(piecesOf(0, 1)).toEqual([0]);
  expect(piecesOf(0, 200)).toEqual([0]);
  expect(piecesOf(199, 201)).toEqual([0, 1]);
  expect(piecesOf(5, 0)).toEqual([0]);
});

test('a piece is asked for once, and an answer to an earlier question is forgotten', async () => {
  const asked: number[] = [];
  let answers: ((total: number) => void)[] = [];
  const pages = new Pages<number>((offset, limit) => {
    asked.push(offset);
    return new Promise((then) => answers.push((total) => then({ total, items: Array.from({ length: limit }, (_, i) => offset + i) })));
  });
  const first = pages.want(0, 10);
  const again = pages.want(0, 10);
  expect(asked).toEqual([0]);
  pages.forget();
  const next = pages.want(400, 410);
  answers[0]?.(1);
  answers[1]?.(1_000);
  await Promise.all([first, again, next]);
  expect(asked).toEqual([0, 400]);
  expect(pages.total).toBe(1_000);
  expect([pages.at(0), pages.at(401)]).toEqual([undefined, 401]);
  answers = [];
});

test('what is far away is let go and asked for again', async () => {
  let asked = 0;
  const pages = new Pages<number>(async (offset) => (asked++, { total: 100_000, items: [offset] }));
  for (let i = 0; i < 30; i++) await pages.want(i * 200, i * 200 + 1);
  expect(pages.at(0)).toBeUndefined();
  await pages.want(0, 1);
  expect([asked, pages.at(0)]).toEqual([31, 0]);
});
