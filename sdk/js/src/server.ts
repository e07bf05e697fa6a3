import { KSPayClient, type InitiateOptions } from "./client.js";
import { invalid, KSPayError } from "./errors.js";
import type { PayUHashOptions, ProcessOptions } from "./orders.js";
import { TokenSource } from "./tokens.js";
import { bounded, secret, segment, type CallOptions, type TransportOptions } from "./transport.js";
import type {
  CheckoutRequest,
  Currency,
  InitiatedTransaction,
  Keys,
  Order,
  PaymentMethod,
  PayUHashRequest,
  TokenPair,
  Transaction,
  TransactionFilter,
  TransactionRequest,
} from "./types.js";

/** What a server needs to be paid. */
export interface ServerOptions extends TransportOptions, Keys {
  /** `ap_...` */
  appId: string;
  /**
   * How long the server's access tokens live, in milliseconds, where that is known: then they are renewed before their end. Otherwise only a token
   * that tells its end (a JSON Web Token) is; any other one is renewed when the server refuses it, at the cost of that one call's second try.
   */
  accessTokenLifetimeMs?: number | undefined;
}

/** The token has ended (9009); or the server does not know it any more (9000, 9007), since its own keys have changed. */
const tokenRefused: ReadonlySet<unknown> = new Set([9000, 9007, 9009]);

/** What `KSPayServer.initiate` takes beside the request. */
export interface SignedOptions extends InitiateOptions {
  /** To initiate with, of `generateSignature`; a new one unless given. Keep it where you may have to try again with the same `idempotencyKey`. */
  signature?: string | undefined;
}

/** How `initiateCheckout` proves who asks. */
export interface CheckoutOptions extends InitiateOptions {
  /** By the access token, or by the keys in headers of their own. `token` by default. */
  auth?: "token" | "keys" | undefined;
}

/**
 * KS Pay for a server that holds an app's keys. It gets an access token when one is first needed, renews it before it ends (or when the server
 * says 9009, and then makes the call once more, which that refusal has left undone), one renewal at a time, and starts over with the keys when
 * the refresh token has ended, too (9008).
 *
 * One instance serves any number of concurrent calls. It refuses to run in a browser's page: a secret key there is everybody's.
 *
 * ```ts
 * const pay = new KSPayServer({ baseUrl, appId, accessKey, secretKey });
 * const signature = await pay.initiateCheckout({ currencyId, amount: "499.00", referenceNumber: "ORDER-1", redirectUrl });
 * const order = await pay.process(signature); // for checkout(order) in the customer's browser
 * ```
 *
 * Every method throws KSPayError.
 */
export class KSPayServer {
  readonly #client: KSPayClient;
  readonly #appId: string;
  readonly #keys: Keys;
  readonly #tokens: TokenSource;

  constructor(options: ServerOptions) {
    if (inPage()) {
      throw invalid('a secret key does not belong into a page: import "kspay-js/browser" there');
    }
    this.#client = new KSPayClient(options);
    this.#appId = segment("appId", options.appId);
    this.#keys = { accessKey: secret("accessKey", options.accessKey), secretKey: secret("secretKey", options.secretKey) };
    const lifetimeMs = options.accessTokenLifetimeMs;
    if (lifetimeMs !== undefined) {
      bounded("accessTokenLifetimeMs", lifetimeMs, 1, Number.MAX_SAFE_INTEGER);
    }
    this.#tokens = new TokenSource(this.#client, this.#appId, this.#keys, lifetimeMs);
  }

  /** An access token that is good as far as is known: for calls that you make by other means. */
  accessToken(options: CallOptions = {}): Promise<string> {
    return this.#tokens.current(options.signal);
  }

  /** A new token pair, which is yours: this client does not use it. */
  generateToken(options?: CallOptions): Promise<TokenPair> {
    return this.#client.generateToken(this.#appId, this.#keys, options);
  }

  /** A new pair for a refresh token of yours, which is spent by that. This client renews its own by itself. */
  refreshToken(refreshToken: string, options?: CallOptions): Promise<TokenPair> {
    return this.#client.refreshToken(refreshToken, this.#keys, options);
  }

  /** A short-lived permission to initiate one transaction. {@link initiate} gets its own. */
  generateSignature(options?: CallOptions): Promise<string> {
    return this.#client.generateSignature(this.#appId, this.#keys, options);
  }

  /** The currencies that the app takes. */
  currencies(options?: CallOptions): Promise<Currency[]> {
    return this.#withToken(options, (token) => this.#client.currencies(token, options));
  }

  /** The methods that a currency can be paid by in this app. */
  paymentMethods(currencyId: string, options?: CallOptions): Promise<PaymentMethod[]> {
    return this.#withToken(options, (token) => this.#client.paymentMethods(currencyId, token, options));
  }

  /**
   * Makes a transaction and its order at a gateway, server to server, under a signature of its own, which is returned beside it: {@link process}
   * takes it. Without an `idempotencyKey` it is never sent twice by itself: after an error with `outcomeUnknown` ask {@link transactionByReference}
   * before you try again.
   */
  async initiate(request: TransactionRequest, options: SignedOptions = {}): Promise<InitiatedTransaction & { signature: string }> {
    const signature = options.signature ?? (await this.generateSignature(options));
    return { ...(await this.#client.initiate(request, signature, options)), signature };
  }

  /**
   * Makes a transaction to be paid at the checkout page, and returns its signature, which {@link process} takes. Without an `idempotencyKey` it is never
   * sent twice by itself: after an error with `outcomeUnknown` ask {@link transactionByReference} before you try again.
   */
  initiateCheckout(request: CheckoutRequest, options: CheckoutOptions = {}): Promise<string> {
    if (options.auth === "keys") {
      return this.#client.initiateCheckout(this.#appId, request, this.#keys, options);
    }
    return this.#withToken(options, (accessToken) => this.#client.initiateCheckout(this.#appId, request, { accessToken }, options));
  }

  /** Gives the order of the transaction that this signature initiated: hand it to `checkout` in the customer's browser. */
  process(signature: string, options?: ProcessOptions): Promise<Order> {
    return this.#client.process(signature, options);
  }

  /** A transaction by our id, `tx_...`: what `kspay_id` of a redirect names. This, and not the redirect, says whether it was paid. */
  transactionById(id: string, options?: CallOptions): Promise<Transaction> {
    return this.#withToken(options, (token) => this.#client.transactionById(id, token, options));
  }

  /** A transaction by your own reference. 404 when there is none, which after a lost answer of `initiate` says that it was never made. */
  transactionByReference(referenceNumber: string, options?: CallOptions): Promise<Transaction> {
    return this.#withToken(options, (token) => this.#client.transactionByReference(referenceNumber, token, options));
  }

  /** The app's transactions, newest first. */
  transactions(filter: TransactionFilter = {}, options?: CallOptions): Promise<Transaction[]> {
    return this.#withToken(options, (token) => this.#client.transactions(filter, token, options));
  }

  /** A hash that PayU's own checkout asks for. */
  payuHash(altTxnId: string, request: PayUHashRequest, options?: PayUHashOptions): Promise<string> {
    return this.#client.payuHash(altTxnId, request, options);
  }

  /** Makes a call with the token, and once more with another one when the server refuses that token: nothing was done then. */
  async #withToken<T>(options: CallOptions | undefined, call: (accessToken: string) => Promise<T>): Promise<T> {
    const token = await this.#tokens.current(options?.signal);
    try {
      return await call(token);
    } catch (error) {
      if (!(error instanceof KSPayError) || !tokenRefused.has(error.code)) {
        throw error;
      }
      return call(await this.#tokens.after(token, options?.signal));
    }
  }
}

/** Says whether this runs in a page (workers of servers know `window` as little as Node does). */
function inPage(): boolean {
  return typeof window !== "undefined" && typeof window.document !== "undefined";
}
