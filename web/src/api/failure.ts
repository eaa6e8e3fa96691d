// What comes back when something can not be done.

/** A refusal of the service, or the service that is not there. */
export class Failure extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string | null = null,
    readonly status = 0,
  ) {
    super(message);
  }
}

/** The service did not answer at all. */
export const GONE = 'gone';
