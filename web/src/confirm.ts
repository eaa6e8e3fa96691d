// Three questions about the recovery words, so that a person sees that theirs are written down. Pure but for the dice.

export interface Question {
  /** Counted from 1. */
  number: number;
  word: string;
  choices: string[];
}

const QUESTIONS = 3;
const CHOICES = 4;

/** A number below `n`, each as likely as the others. */
function dice(n: number): number {
  const limit = Math.floor(2 ** 32 / n) * n;
  for (;;) {
    const drawn = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
    if (drawn < limit) return drawn % n;
  }
}

function shuffled<T>(from: readonly T[], roll: (n: number) => number): T[] {
  const all = [...from];
  for (let i = all.length - 1; i > 0; i--) {
    const j = roll(i + 1);
    [all[i], all[j]] = [all[j] as T, all[i] as T];
  }
  return all;
}

/** Which of the words are asked for, in order, each among three others. */
export function questionsAbout(words: readonly string[], roll: (n: number) => number = dice): Question[] {
  const numbers = shuffled(
    words.map((_, i) => i),
    roll,
  ).slice(0, QUESTIONS);
  return numbers
    .sort((a, b) => a - b)
    .map((i) => {
      const word = words[i] ?? '';
      const others = shuffled([...new Set(words)].filter((other) => other !== word), roll).slice(0, CHOICES - 1);
      return { number: i + 1, word, choices: shuffled([word, ...others], roll) };
    });
}
