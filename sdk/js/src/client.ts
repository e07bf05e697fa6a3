import { encode } from "./exact.js";
import { invalid } from "./errors.js";
import { hashForPayU, processOrder, type PayUHashOptions, type ProcessOptions } from "./orders.js";
import { isObject, lacking, secret, segment, Transport, type Call, type CallOptions, type Envelope, type TransportOptions } from "./transport.js";
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

/** Who asks for a checkout: an access token, or the keys themselves. */
export type CheckoutAuth = { accessToken: string } | Keys;

/** What `initiate` and `initiateCheckout` take beside the request. */
export interface InitiateOptions extends CallOptions {
  /**
   * 1 to 255 printable characters, yours, for this transaction: the server makes one transaction for it, however often it is asked. With a key, a call
   * is tried again when its outcome is not known, as reads are, and may be made again by you: with the same request, word for word. The reference
   * number does well as a key.
   */
  idempotencyKey?: string | undefined;
}

/**
 * The calls of the KS Pay API, one method each: tokens and signatures are handed in by you, and nothing is remembered between calls. For a
 * server that only wants to be paid, `KSPayServer` is simpler: it takes care of tokens and signatures.
 *
 * Every method throws KSPayError.
 */
export class KSPayClient {
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#transport = new Transport(options);
  }

  /** Asks for an access token and its refresh token. Errors: 11001, 11002, 11004, 11011. */
  async generateToken(appId: string, keys: Keys, options?: CallOptions): Promise<TokenPair> {
    const call: Call = { method: "POST", path: `/auth/generate-token/${segment("appId", appId)}`, body: keysBody(keys), effect: "nothing" };
    return pairOf(call, await this.#transport.send(call, options));
  }

  /** Asks for a signature: a short-lived permission to initiate one transaction. Errors: 11001, 11002, 11004, 11011. */
  async generateSignature(appId: string, keys: Keys, options?: CallOptions): Promise<string> {
    const call: Call = { method: "POST", path: `/auth/generate-signature/${segment("appId", appId)}`, body: keysBody(keys), effect: "nothing" };
    return signatureOf(call, await this.#transport.send(call, options));
  }

  /**
   * Turns a refresh token into a new pair. It is spent by that: a second use is 9008. When the answer is lost (`outcomeUnknown`), ask
   * {@link generateToken} for a new pair.
   */
  async refreshToken(refreshToken: string, keys: Keys, options?: CallOptions): Promise<TokenPair> {
    const call: Call = {
      method: "POST",
      path: "/auth/refresh-token",
      headers: { Authorization: secret("refreshToken", refreshToken) },
      body: keysBody(keys),
      effect: "something",
      advice: "generate a new token",
    };
    return pairOf(call, await this.#transport.send(call, options));
  }

  /** The currencies that the app takes. */
  async currencies(accessToken: string, options?: CallOptions): Promise<Currency[]> {
    return this.#list<Currency>("/currencies", accessToken, undefined, options);
  }

  /** The methods that a currency can be paid by in this app. */
  async paymentMethods(currencyId: string, accessToken: string, options?: CallOptions): Promise<PaymentMethod[]> {
    return this.#list<PaymentMethod>(`/${segment("currencyId", currencyId)}/payment-methods`, accessToken, undefined, options);
  }

  /**
   * Makes a transaction and its order at a gateway, server to server. Without an `idempotencyKey` it is never sent twice by itself: after an error with
   * `outcomeUnknown` ask {@link transactionByReference} before you try again. With one, try again with the same signature, or {@link process}
   * will not find the transaction by it.
   */
  async initiate(request: TransactionRequest, signature: string, options: InitiateOptions = {}): Promise<InitiatedTransaction> {
    const { currencyId, paymentMethodId, amount, referenceNumber } = request;
    const call: Call = {
      method: "POST",
      path: "/transaction/initiate",
      headers: { "x-signature": secret("signature", signature), ...keyed(options) },
      body: encode({ currencyId, paymentMethodId, referenceNumber }, needed(amount)),
      ...once(referenceNumber, options),
    };
    const answer = await this.#transport.send(call, options);
    if (!isObject(answer.result) || typeof answer.result["pe_txnId"] !== "string") {
      throw lacking(call, answer.status, "transaction");
    }
    return answer.result as InitiatedTransaction;
  }

  /**
   * Makes a transaction to be paid at the checkout page, and returns its signature, which {@link process} takes. Without an `idempotencyKey` it is never
   * sent twice by itself: after an error with `outcomeUnknown` ask {@link transactionByReference} before you try again.
   */
  async initiateCheckout(appId: string, request: CheckoutRequest, auth: CheckoutAuth, options: InitiateOptions = {}): Promise<string> {
    const { currencyId, paymentMethodId, amount, referenceNumber, redirectUrl, interfaceType } = request;
    const call: Call = {
      method: "POST",
      path: "/transaction/initiate",
      headers: {
        ...("accessToken" in auth
          ? bearer(auth.accessToken)
          : { accessKey: secret("accessKey", auth.accessKey), secretKey: secret("secretKey", auth.secretKey) }),
        ...keyed(options),
      },
      body: encode({ currencyId, paymentMethodId, referenceNumber, appId: segment("appId", appId), redirectUrl, interfaceType }, needed(amount)),
      ...once(referenceNumber, options),
    };
    return signatureOf(call, await this.#transport.send(call, options));
  }

  /**
   * Gives the order of the transaction that this signature initiated: hand it to `checkout` in the customer's browser. Asked again, it gives
   * the same order.
   */
  process(signature: string, options?: ProcessOptions): Promise<Order> {
    return processOrder(this.#transport, signature, options);
  }

  /** A transaction by our id, `tx_...`. 404 when there is none. */
  async transactionById(id: string, accessToken: string, options?: CallOptions): Promise<Transaction> {
    return this.#transaction(`/transaction/txnId/${segment("id", id)}`, accessToken, options);
  }

  /** A transaction by your own reference. 404 when there is none, which after a lost answer of `initiate` says that it was never made. */
  async transactionByReference(referenceNumber: string, accessToken: string, options?: CallOptions): Promise<Transaction> {
    return this.#transaction(`/transaction/referenceNo/${segment("referenceNumber", referenceNumber)}`, accessToken, options);
  }

  /** The app's transactions, newest first. Errors: 11006 to 11011 of the dates, 4056 and 4089 of the page. */
  async transactions(filter: TransactionFilter, accessToken: string, options?: CallOptions): Promise<Transaction[]> {
    const query = {
      fromDate: dateOf("fromDate", filter.fromDate),
      toDate: dateOf("toDate", filter.toDate),
      page: filter.page?.toString(),
      limit: filter.limit?.toString(),
    };
    return this.#list<Transaction>("/transaction", accessToken, query, options);
  }

  /** A hash that PayU's own checkout asks for. `altTxnId` is of the order ({@link PayUOrder}). */
  payuHash(altTxnId: string, request: PayUHashRequest, options?: PayUHashOptions): Promise<string> {
    return hashForPayU(this.#transport, altTxnId, request, options);
  }

  async #transaction(path: string, accessToken: string, options: CallOptions | undefined): Promise<Transaction> {
    const call: Call = { method: "GET", path, headers: bearer(accessToken), effect: "nothing" };
    const answer = await this.#transport.send(call, options);
    if (!isObject(answer.result) || typeof answer.result["id"] !== "string" || typeof answer.result["status"] !== "string") {
      throw lacking(call, answer.status, "transaction");
    }
    return answer.result as Transaction;
  }

  async #list<T>(path: string, accessToken: string, query: Call["query"], options: CallOptions | undefined): Promise<T[]> {
    const call: Call = { method: "GET", path, headers: bearer(accessToken), effect: "nothing", ...(query === undefined ? {} : { query }) };
    const answer = await this.#transport.send(call, options);
    if (!Array.isArray(answer.result) || !answer.result.every(isObject)) {
      throw lacking(call, answer.status, "list");
    }
    return answer.result as T[];
  }
}

function keysBody(keys: Keys): string {
  return JSON.stringify({ accessKey: secret("accessKey", keys.accessKey), secretKey: secret("secretKey", keys.secretKey) });
}

function bearer(accessToken: string): Record<string, string> {
  return { Authorization: `Bearer ${secret("accessToken", accessToken)}` };
}

function needed<T>(amount: T | undefined): T {
  if (amount === undefined || amount === null) {
    throw invalid("amount is missing");
  }
  return amount;
}

function keyed(options: InitiateOptions): Record<string, string> {
  const key = options.idempotencyKey;
  if (key === undefined) {
    return {};
  }
  if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?$/.test(key)) {
    throw invalid("idempotencyKey is not 1 to 255 printable ASCII characters");
  }
  return { "Idempotency-Key": key };
}

function once(referenceNumber: string, options: InitiateOptions): Pick<Call, "effect" | "advice"> {
  const asking = `ask transactionByReference(${JSON.stringify(segment("referenceNumber", referenceNumber))})`;
  return options.idempotencyKey === undefined
    ? { effect: "something", advice: `${asking} before you initiate it again` }
    : { effect: "keyed", advice: `${asking}, or initiate it again with the same idempotencyKey` };
}

function dateOf(name: string, date: Date | string | undefined): string | undefined {
  if (!(date instanceof Date)) {
    return date;
  }
  if (Number.isNaN(date.getTime())) {
    throw invalid(`${name} is no date`);
  }
  return date.toISOString();
}

function pairOf(call: Call, answer: Envelope): TokenPair {
  const pair = answer.result;
  if (!isObject(pair) || typeof pair["accessToken"] !== "string" || typeof pair["refreshToken"] !== "string") {
    throw lacking(call, answer.status, "tokens");
  }
  return { accessToken: pair["accessToken"], refreshToken: pair["refreshToken"] };
}

function signatureOf(call: Call, answer: Envelope): string {
  const signature = answer.result ?? answer["signature"];
  if (typeof signature !== "string" || signature === "") {
    throw lacking(call, answer.status, "signature");
  }
  return signature;
}
