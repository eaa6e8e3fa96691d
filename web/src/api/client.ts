// The way to the service on this computer. Owns the token: it comes from a once-only link, goes into the Authorization header alone,
// and lies in sessionStorage. There it outlives a reload, ends with the tab, is never sent by the browser by itself, and is worth
// nothing once the service has stopped, since each start draws another. Why not in memory alone: docs/design/0015-web-page.md.

import createClient from 'openapi-fetch';
import { Failure, GONE } from './failure';
import type { components, paths } from './schema';

export { Failure, GONE };

export type Schemas = components['schemas'];

const TOKEN = 'cobox-token';
/** What follows `#` in the link of `cobox open`. */
const LOGIN = '#login=';

let onSignedOut: () => void = () => {};

/** Called when the service does not know the token (any more). */
export function whenSignedOut(then: () => void): void {
  onSignedOut = then;
}

export function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function authorization(): Record<string, string> {
  return { Authorization: `Bearer ${token() ?? ''}` };
}

/** Takes the code out of the address, so that no history keeps it, and exchanges it. True if there is a token afterwards. */
export async function signIn(): Promise<boolean> {
  if (location.hash.startsWith(LOGIN)) {
    const code = location.hash.slice(LOGIN.length);
    history.replaceState(null, '', '/');
    sessionStorage.removeItem(TOKEN);
    const answer = await ask(api.POST('/api/v1/login', { body: { code } }));
    sessionStorage.setItem(TOKEN, answer.token);
  }
  return token() !== null;
}

/** A refusal as it came over the wire; anything that is none becomes one. */
export function failureOf(status: number, body: unknown): Failure {
  const { code, message, hint } = (typeof body === 'object' && body !== null ? body : {}) as Partial<Schemas['ErrorBody']>;
  if (status === 401) {
    sessionStorage.removeItem(TOKEN);
    onSignedOut();
  }
  return new Failure(code ?? 'failed', message ?? `HTTP ${status}`, hint ?? null, status);
}

export const api = createClient<paths>({ baseUrl: location.origin, cache: 'no-store' });
api.use({
  onRequest({ request }) {
    const known = token();
    if (known) request.headers.set('Authorization', `Bearer ${known}`);
    return request;
  },
});

/** The answer of a request, or the refusal thrown. */
export async function ask<T>(sent: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let done;
  try {
    done = await sent;
  } catch {
    throw new Failure(GONE, '');
  }
  if (!done.response.ok) throw failureOf(done.response.status, done.error);
  return done.data as T;
}
