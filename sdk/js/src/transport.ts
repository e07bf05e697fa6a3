// One call: its deadline, what may be sent again, and what an answer means.

import { decode } from "./exact.js";
import { invalid, KSPayError, KSPayNetworkError, KSPayTimeoutError, type ErrorDetails } from "./errors.js";

/** Where the server is, and how calls behave. */
export interface TransportOptions {
  /** The address of the API, such as `https://pay.example.com/v1`. `http:` is for this machine alone. */
  baseUrl: string;
  /** How long one attempt may take, in milliseconds; 60000 by default (the server may wait 40 seconds for a gateway), at most ten minutes. */
  timeoutMs?: number | undefined;
  /**
   * How often a call that changes nothing, or has an `idempotencyKey`, is tried again after no answer, 429 or 5xx; 2 by default, at most 10.
   * No other call is ever tried again by itself.
   */
  maxRetries?: number | undefined;
  /** How long to wait before the first of these, in milliseconds; it doubles. 250 by default. What the server asks for goes first. */
  retryDelayMs?: number | undefined;
  /** Takes the place of the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
}

/** What every call takes as its last argument. */
export interface CallOptions {
  /** Ends the call with code `ABORTED`. */
  signal?: AbortSignal | undefined;
  /** In place of the client's own, for this call. */
  timeoutMs?: number | undefined;
}

/**
 * What a call does at the server.
 *
 * - `nothing`: it is tried again here when its outcome is not known.
 * - `repeatable`: it comes to the same when the caller tries again.
 * - `keyed`: it changes something, once for its Idempotency-Key: it is tried again here.
 * - `something`: it must not be tried again before the server was asked.
 */
export type Effect = "nothing" | "repeatable" | "keyed" | "something";

/** @internal */
export interface Call {
  method: "GET" | "POST";
  path: string;
  query?: Readonly<Record<string, string | undefined>>;
  headers?: Readonly<Record<string, string | undefined>>;
  body?: string;
  type?: string;
  effect: Effect;
  /** What to do when the outcome of a change is not known; ends the message of the error. */
  advice?: string;
}

/** A success of the server, whole. */
export interface Envelope {
  status: number;
  message?: unknown;
  result?: unknown;
  [field: string]: unknown;
}

/** Longest answer that is read. */
const maxBodyBytes = 16 << 20;
/** Longest wait before another attempt; a server that asks for more gets no other attempt from here. */
const maxWaitMs = 30_000;
const maxTimeoutMs = 600_000;

const repeats: ReadonlySet<Effect> = new Set(["nothing", "keyed"]);
const changes: ReadonlySet<Effect> = new Set(["keyed", "something"]);

/** Calls one server. */
export class Transport {
  readonly #base: string;
  readonly #timeoutMs: number;
  readonly #maxRetries: number;
  readonly #delayMs: number;
  readonly #fetch: typeof globalThis.fetch;

  constructor(options: TransportOptions) {
    this.#base = baseOf(options.baseUrl);
    this.#timeoutMs = bounded("timeoutMs", options.timeoutMs ?? 60_000, 1, maxTimeoutMs);
    this.#maxRetries = bounded("maxRetries", options.maxRetries ?? 2, 0, 10);
    this.#delayMs = bounded("retryDelayMs", options.retryDelayMs ?? 250, 0, maxWaitMs);
    const given = options.fetch;
    this.#fetch = given ?? ((input, init) => globalThis.fetch(input, init));
  }

  /** Makes a call, again where that is safe, and returns the envelope of its success. Throws KSPayError. */
  async send(call: Call, options: CallOptions = {}): Promise<Envelope> {
    const timeoutMs = bounded("timeoutMs", options.timeoutMs ?? this.#timeoutMs, 1, maxTimeoutMs);
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(call, timeoutMs, options.signal);
      } catch (error) {
        if (!(error instanceof KSPayError) || !error.retryable || !repeats.has(call.effect) || attempt >= this.#maxRetries) {
          throw error;
        }
        const backoff = this.#delayMs * 2 ** attempt * (0.5 + Math.random() / 2);
        const wait = Math.max(backoff, error.retryAfterMs ?? 0);
        if (wait > maxWaitMs) {
          throw error;
        }
        await pause(wait, options.signal, () => aborted(call, options.signal));
      }
    }
  }

  async #attempt(call: Call, timeoutMs: number, signal: AbortSignal | undefined): Promise<Envelope> {
    if (signal?.aborted) {
      throw new KSPayError("the call was aborted before it was sent", { code: "ABORTED", cause: signal.reason });
    }
    const ends = new AbortController();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      ends.abort();
    }, timeoutMs);
    const onAbort = (): void => ends.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const response = await this.#fetch(this.#url(call), {
        method: call.method,
        headers: headersOf(call),
        ...(call.body === undefined ? {} : { body: call.body }),
        redirect: "manual", // what carries a secret goes nowhere else
        credentials: "omit",
        cache: "no-store",
        signal: ends.signal,
      });
      return await read(call, response);
    } catch (error) {
      if (error instanceof KSPayError) {
        throw error;
      }
      if (signal?.aborted) {
        throw aborted(call, signal);
      }
      throw late ? timedOut(call, timeoutMs) : unanswered(call, error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  #url(call: Call): string {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) {
        query.set(name, value);
      }
    }
    const text = query.toString();
    return this.#base + call.path + (text === "" ? "" : `?${text}`);
  }
}

/** The part of a path that an id is. Throws `INVALID_ARGUMENT` for what cannot be one. */
export function segment(name: string, id: string): string {
  if (typeof id !== "string" || !/^[A-Za-z0-9_-]{1,128}$/.test(id)) {
    throw invalid(`${name} is not an id: letters, digits, "_" and "-"`);
  }
  return id;
}

/** A secret, token or signature as a header can carry it. The error does not repeat it. */
export function secret(name: string, value: string): string {
  if (typeof value !== "string" || !/^[\x21-\x7e]{1,8192}$/.test(value)) {
    throw invalid(`${name} is missing, or holds what no header can carry`);
  }
  return value;
}

/** Settles as `promise` does, but throws `ABORTED` as soon as the signal says so; the promise goes on without the caller. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) {
    return promise;
  }
  let onAbort: (() => void) | undefined;
  const ended = new Promise<never>((_, reject) => {
    onAbort = () => reject(new KSPayError("the call was aborted", { code: "ABORTED", cause: signal.reason }));
    if (signal.aborted) {
      onAbort();
    } else {
      signal.addEventListener("abort", onAbort, { once: true });
    }
  });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    if (onAbort !== undefined) {
      signal.removeEventListener("abort", onAbort);
    }
  }
}

/** Says whether an address may carry secrets and customers: `https:`, or `http:` on this machine. */
export function isSecure(url: URL): boolean {
  const loopback = url.hostname === "localhost" || url.hostname === "[::1]" || /^127(?:\.[0-9]{1,3}){3}$/.test(url.hostname);
  return url.protocol === "https:" || (url.protocol === "http:" && loopback);
}

function baseOf(baseUrl: string): string {
  let url: URL;
  try {
    url = new URL(baseUrl);
  } catch {
    throw invalid("baseUrl is not an address such as https://pay.example.com/v1");
  }
  if (!isSecure(url)) {
    throw invalid("baseUrl is neither https nor on this machine: secrets would travel in clear");
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw invalid("baseUrl holds more than an address: no user, query or fragment");
  }
  return url.origin + url.pathname.replace(/\/+$/, "");
}

/** A whole number within its bounds, or `INVALID_ARGUMENT`. */
export function bounded(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalid(`${name} is not a whole number from ${least} to ${most}`);
  }
  return value;
}

function headersOf(call: Call): Record<string, string> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (call.body !== undefined) {
    headers["Content-Type"] = call.type ?? "application/json";
  }
  for (const [name, value] of Object.entries(call.headers ?? {})) {
    if (value !== undefined) {
      headers[name] = value;
    }
  }
  return headers;
}

async function read(call: Call, response: Response): Promise<Envelope> {
  const requestId = response.headers.get("x-request-id") ?? undefined;
  if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
    await response.body?.cancel();
    throw unreadable(call, response.status, requestId, "the server answered with a redirect, which is not followed");
  }
  const text = await textOf(call, response, requestId);
  let answer: unknown;
  try {
    answer = decode(text);
  } catch {
    answer = undefined;
  }
  if (!isObject(answer)) {
    throw unreadable(call, response.status, requestId, "the answer is not KS Pay's");
  }
  if (response.ok) {
    return { ...answer, status: response.status };
  }
  const { code, message } = answer;
  if (typeof code !== "number") {
    throw unreadable(call, response.status, requestId, "the answer is an error, but not one of KS Pay's");
  }
  throw failed(call, response.status, {
    code,
    message: typeof message === "string" && message !== "" ? printable(message) : `the server answered ${response.status}`,
    requestId,
    retryAfterMs: retryAfter(response.headers.get("retry-after")),
  });
}

async function textOf(call: Call, response: Response, requestId: string | undefined): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    return "";
  }
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return text + decoder.decode();
    }
    size += value.byteLength;
    if (size > maxBodyBytes) {
      await reader.cancel();
      throw unreadable(call, response.status, requestId, "the answer is too long");
    }
    text += decoder.decode(value, { stream: true });
  }
}

interface Failure {
  code: number | "BAD_RESPONSE";
  message: string;
  requestId: string | undefined;
  retryAfterMs?: number | undefined;
}

/** An answer other than 2xx. A 5xx leaves open what was done before it; 4xx is a refusal. */
function failed(call: Call, status: number, failure: Failure): KSPayError {
  const { message, ...details } = failure;
  return new KSPayError(...told(call, message, status >= 500, status === 429 || status >= 500, { ...details, httpStatus: status }));
}

/** An answer that is not the server's own words. Only a status 4xx says that nothing was done. */
function unreadable(call: Call, status: number, requestId: string | undefined, message: string): KSPayError {
  const refused = status >= 400 && status < 500;
  const text = status === 0 ? message : `${message} (HTTP ${status})`;
  const details = { code: "BAD_RESPONSE", httpStatus: status, requestId } as const;
  return new KSPayError(...told(call, text, !refused, status === 429 || status >= 500, details));
}

function unanswered(call: Call, cause: unknown): KSPayError {
  const message = "there was no answer: the connection failed or was broken off";
  return new KSPayNetworkError(...told(call, message, true, true, { code: "NETWORK", cause }));
}

function timedOut(call: Call, timeoutMs: number): KSPayError {
  return new KSPayTimeoutError(...told(call, `there was no answer within ${timeoutMs} ms`, true, true, { code: "TIMEOUT" }));
}

function aborted(call: Call, signal: AbortSignal | undefined): KSPayError {
  return new KSPayError(...told(call, "the call was aborted", true, false, { code: "ABORTED", cause: signal?.reason }));
}

/** What an error says: `open` when the server may have acted, `passing` when trying again may help. */
function told(call: Call, message: string, open: boolean, passing: boolean, details: ErrorDetails): [string, ErrorDetails] {
  const outcomeUnknown = open && changes.has(call.effect);
  const advice = call.advice === undefined ? "" : `: ${call.advice}`;
  return [
    outcomeUnknown ? `${message}; whether it was done is not known${advice}` : message,
    { ...details, outcomeUnknown, retryable: passing && !(outcomeUnknown && call.effect === "something") },
  ];
}

/** An answer that is well formed, but lacks what the call is for. */
export function lacking(call: Call, status: number, what: string): KSPayError {
  return unreadable(call, status, undefined, `the answer has no ${what}`);
}

/** Narrows to an object that is not a list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function printable(message: string): string {
  return message.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ").slice(0, 500);
}

function retryAfter(header: string | null): number | undefined {
  if (header === null) {
    return undefined;
  }
  if (/^[0-9]{1,9}$/.test(header)) {
    return Number(header) * 1000;
  }
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, at - Date.now());
}

function pause(ms: number, signal: AbortSignal | undefined, reason: () => KSPayError): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(reason());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) {
      onAbort();
    }
  });
}
