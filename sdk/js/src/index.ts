/**
 * KS Pay for servers: Node 20 and later. What belongs into a page is in `kspay-js/browser`.
 *
 * @packageDocumentation
 */

export { KSPayServer, type CheckoutOptions, type ServerOptions, type SignedOptions } from "./server.js";
export { KSPayClient, type CheckoutAuth, type InitiateOptions } from "./client.js";
export { KSPayError, KSPayNetworkError, KSPayTimeoutError, type ErrorDetails, type LocalCode } from "./errors.js";
export type { PayUHashOptions, ProcessOptions } from "./orders.js";
export { parseRedirect, type RedirectResult } from "./redirect.js";
export type { Amount } from "./exact.js";
export type { CallOptions, TransportOptions } from "./transport.js";
export type {
  CheckoutRequest,
  Currency,
  HostedOrder,
  InitiatedTransaction,
  Keys,
  Order,
  OrderBase,
  PaymentMethod,
  PayUHashRequest,
  PayUOrder,
  RazorpayOrder,
  TokenPair,
  Transaction,
  TransactionFilter,
  TransactionRequest,
  TransactionStatus,
} from "./types.js";
