// Where in the page one is. It stands behind `#`, so the service never hears of it.

/** The parts of a path like `#/folder/ab12/people`. */
export function partsOf(hash: string): string[] {
  if (!hash.startsWith('#/')) return [];
  return hash
    .slice(2)
    .split('/')
    .filter((part) => part !== '')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return '';
      }
    });
}

let parts = $state<string[]>(partsOf(location.hash));

export const route = {
  get parts(): string[] {
    return parts;
  },
};

/** The address of a screen. */
export function to(...next: string[]): string {
  return `#/${next.map(encodeURIComponent).join('/')}`;
}

export function go(...next: string[]): void {
  location.hash = to(...next);
}

addEventListener('hashchange', () => {
  parts = partsOf(location.hash);
  scrollTo(0, 0);
  // Who hears the page is told where they are now.
  document.querySelector('main')?.focus({ preventScroll: true });
});
