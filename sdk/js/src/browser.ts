/**
 * KS Pay for pages: opens the checkout, and reads what comes back. Nothing here takes a secret key or an access token: your server initiates the
 * transaction (`kspay-js`), and gives the page the order, or the signature of that one transaction.
 *
 * @packageDocumentation
 */

import { invalid } from "./errors.js";
import { hashForPayU, processOrder, type PayUHashOptions, type ProcessOptions } from "./orders.js";
import { Transport, type TransportOptions } from "./transport.js";
import type { Order, PayUHashRequest } from "./types.js";

export { checkout, finishCheckout, openWindow, type CheckoutMode, type CheckoutOutcome, type OpenOptions } from "./checkout.js";
export { KSPayError, KSPayNetworkError, KSPayTimeoutError, type ErrorDetails, type LocalCode } from "./errors.js";
export { parseRedirect, type RedirectResult } from "./redirect.js";
export type { PayUHashOptions, ProcessOptions } from "./orders.js";
export type { CallOptions, TransportOptions } from "./transport.js";
export type { HostedOrder, Order, OrderBase, PayUHashRequest, PayUOrder, RazorpayOrder } from "./types.js";

/** The calls that a page may make itself. The page's origin has to be one of the app's domains (13007 otherwise). Every method throws KSPayError. */
export class KSPayBrowser {
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    if ("secretKey" in options || "accessKey" in options) {
      throw invalid("keys do not belong into a page: everybody can read them there; use KSPayServer on your server");
    }
    this.#transport = new Transport(options);
  }

  /** Gives the order of the transaction that this signature initiated, for {@link checkout}. Asked again, it gives the same order. */
  process(signature: string, options?: ProcessOptions): Promise<Order> {
    return processOrder(this.#transport, signature, options);
  }

  /** A hash that PayU's own checkout asks for. `altTxnId` is of the order. */
  payuHash(altTxnId: string, request: PayUHashRequest, options?: PayUHashOptions): Promise<string> {
    return hashForPayU(this.#transport, altTxnId, request, options);
  }
}
