/**
 * Codes of errors that do not come from the server. The server's own codes are numbers.
 *
 * - `NETWORK`: there was no answer (refused, broken off, unknown host).
 * - `TIMEOUT`: there was no answer in time.
 * - `ABORTED`: the caller's own signal ended the call.
 * - `BAD_RESPONSE`: an answer came that is not KS Pay's (a proxy's page, garbage, a redirect, too long).
 * - `INVALID_ARGUMENT`: the call was wrong; nothing was sent.
 * - `POPUP_BLOCKED`: the browser did not open a window.
 */
export type LocalCode = "NETWORK" | "TIMEOUT" | "ABORTED" | "BAD_RESPONSE" | "INVALID_ARGUMENT" | "POPUP_BLOCKED";

/** What a {@link KSPayError} is made of. */
export interface ErrorDetails {
  code: number | LocalCode;
  httpStatus?: number;
  requestId?: string | undefined;
  retryable?: boolean;
  outcomeUnknown?: boolean;
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/**
 * Every error of this package. No error holds a secret, a token or a signature.
 *
 * ```ts
 * try {
 *   await pay.initiate(order);
 * } catch (error) {
 *   if (error instanceof KSPayError && error.outcomeUnknown) {
 *     // It may have been made: ask pay.transactionByReference(order.referenceNumber) before you try again.
 *   }
 * }
 * ```
 */
export class KSPayError extends Error {
  override readonly name: string = "KSPayError";
  /**
   * The server's code, such as 9009, or a {@link LocalCode}. The server's numbers repeat with different meanings: tell them apart together
   * with {@link httpStatus} (11005 is "signature expired" with 400, and "too many requests" with 429).
   */
  readonly code: number | LocalCode;
  /** The HTTP status of the answer; 0 when there was none. */
  readonly httpStatus: number;
  /** The id that the server gave the request, for its operator's logs. */
  readonly requestId: string | undefined;
  /** The very same call may be made again, and may then succeed. While {@link outcomeUnknown} is, too, this is true only of a call with an `idempotencyKey`. */
  readonly retryable: boolean;
  /**
   * The call would have changed something, and nobody knows whether it has: ask the server before you call again, unless {@link retryable}. Only
   * ever true for calls that change something (`initiate`, `initiateCheckout`, `refreshToken`).
   */
  readonly outcomeUnknown: boolean;
  /** How long the server asks to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.httpStatus = details.httpStatus ?? 0;
    this.requestId = details.requestId;
    this.outcomeUnknown = details.outcomeUnknown ?? false;
    this.retryable = details.retryable ?? false;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** There was no answer: {@link KSPayError.code} is `NETWORK`. Whether the server has done what was asked is told by `outcomeUnknown`. */
export class KSPayNetworkError extends KSPayError {
  override readonly name: string = "KSPayNetworkError";
}

/** There was no answer in time: {@link KSPayError.code} is `TIMEOUT`. Whether the server has done what was asked is told by `outcomeUnknown`. */
export class KSPayTimeoutError extends KSPayError {
  override readonly name: string = "KSPayTimeoutError";
}

/** @internal */
export function invalid(message: string): KSPayError {
  return new KSPayError(message, { code: "INVALID_ARGUMENT" });
}
