import type { KSPayClient } from "./client.js";
import { KSPayError } from "./errors.js";
import { abortable, isObject } from "./transport.js";
import type { Keys, TokenPair } from "./types.js";

/** Renew this long before a token ends, but never earlier than when a tenth of its life is left. */
const marginMs = 60_000;

/**
 * Holds one access token for all who need one. Any number of callers that find it missing, ended or refused cause one renewal, and wait for it.
 *
 *     none --generate--> held --near its end, or 9009--> renewing --refreshed--> held
 *                                                           `--9008, or no answer--> generate
 *
 * A failed renewal fails those who waited for it, and the next caller tries anew.
 */
export class TokenSource {
  readonly #client: KSPayClient;
  readonly #appId: string;
  readonly #keys: Keys;
  readonly #lifetimeMs: number | undefined;
  #pair: TokenPair | undefined;
  #renewAt = Infinity;
  #renewing: Promise<string> | undefined;

  constructor(client: KSPayClient, appId: string, keys: Keys, lifetimeMs: number | undefined) {
    this.#client = client;
    this.#appId = appId;
    this.#keys = keys;
    this.#lifetimeMs = lifetimeMs;
  }

  /** A token that is good as far as is known here. */
  async current(signal?: AbortSignal): Promise<string> {
    if (this.#renewing === undefined && this.#pair !== undefined && Date.now() < this.#renewAt) {
      return this.#pair.accessToken;
    }
    return abortable(this.#renew(), signal);
  }

  /** A token other than `refused`, which the server has just called ended. */
  async after(refused: string, signal?: AbortSignal): Promise<string> {
    if (this.#renewing === undefined && this.#pair !== undefined && this.#pair.accessToken !== refused) {
      return this.#pair.accessToken; // somebody else was quicker
    }
    return abortable(this.#renew(), signal);
  }

  #renew(): Promise<string> {
    const asked = Date.now();
    this.#renewing ??= this.#ask().then(
      (pair) => {
        this.#renewing = undefined;
        this.#pair = pair;
        const life = this.#lifetimeMs ?? lifeOf(pair.accessToken, asked);
        this.#renewAt = life === undefined ? Infinity : asked + life - Math.min(marginMs, life / 10);
        return pair.accessToken;
      },
      (error: unknown) => {
        this.#renewing = undefined;
        throw error;
      },
    );
    return this.#renewing;
  }

  async #ask(): Promise<TokenPair> {
    const held = this.#pair;
    if (held !== undefined) {
      this.#pair = undefined; // its refresh token is spent by trying, whatever comes back
      try {
        return await this.#client.refreshToken(held.refreshToken, this.#keys);
      } catch (error) {
        if (!(error instanceof KSPayError) || !(error.code === 9008 || error.outcomeUnknown)) {
          throw error;
        }
      }
    }
    return this.#client.generateToken(this.#appId, this.#keys);
  }
}

/**
 * How long a token that was asked for at `asked` lives, in milliseconds, if it says so: a JSON Web Token with `exp`. With `iat` beside it, the two
 * clocks need not agree. Undefined for every other token, whose end the server tells by 9009; and for one that has ended by this clock, since
 * renewing at every call would be worse than being told.
 */
function lifeOf(token: string, asked: number): number | undefined {
  const claims = claimsOf(token);
  const exp = claims?.["exp"];
  if (typeof exp !== "number") {
    return undefined;
  }
  const iat = claims?.["iat"];
  const life = typeof iat === "number" && iat < exp ? (exp - iat) * 1000 : exp * 1000 - asked;
  return life > 0 ? life : undefined;
}

function claimsOf(token: string): Record<string, unknown> | undefined {
  const payload = token.split(".")[1];
  if (payload === undefined) {
    return undefined;
  }
  try {
    const claims: unknown = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
    return isObject(claims) ? claims : undefined;
  } catch {
    return undefined; // not a JSON Web Token: its end is the server's secret
  }
}
