import { expect, test } from 'vitest';
import { questionsAbout } from './confirm';

const WORDS = 'abandon ability able about above absent absorb abstract absurd abuse access accident'.split(' ');

test('three different words are asked for, each among three others, as they stand on the paper', () => {
  const asked = new Set<number>();
  for (let i = 0; i < 200; i++) {
    const questions = questionsAbout(WORDS);
    expect(questions.length).toBe(3);
    expect(new Set(questions.map((q) => q.number)).size).toBe(3);
    for (const { number, word, choices } of questions) {
      expect(word).toBe(WORDS[number - 1]);
      expect(new Set(choices).size).toBe(4);
      expect(choices).toContain(word);
      asked.add(number);
    }
  }
  expect(asked.size).toBe(12);
});

test('a word that stands twice is no wrong choice for itself', () => {
  for (const { word, choices } of questionsAbout(Array<string>(6).fill('able').concat(WORDS.slice(3, 9)))) {
    expect(choices.filter((choice) => choice === word).length).toBe(1);
  }
});
