// The calls that need no key and no token: what a customer's browser may make.

import { isObject, lacking, secret, segment, type Call, type CallOptions, type Transport } from "./transport.js";
import type { Order, PayUHashRequest } from "./types.js";

/** What `process` takes beside the signature. */
export interface ProcessOptions extends CallOptions {
  /** Sent as `Origin` where the platform lets a program choose it (servers; a browser sends its own). */
  origin?: string | undefined;
  /** `tx_...`: which one is meant, when one signature has initiated several transactions. */
  transactionId?: string | undefined;
}

/** What `payuHash` takes beside the request. */
export interface PayUHashOptions extends CallOptions {
  /** The transaction's own. Without one, its id alone stands for who asks. */
  signature?: string | undefined;
}

/** Gives the order of the transaction that this signature initiated. */
export async function processOrder(transport: Transport, signature: string, options: ProcessOptions = {}): Promise<Order> {
  const call: Call = {
    method: "POST",
    path: "/transaction/process",
    headers: { "x-signature": secret("signature", signature), Origin: options.origin },
    ...(options.transactionId === undefined ? {} : { body: JSON.stringify({ pe_txnId: segment("transactionId", options.transactionId) }) }),
    effect: "repeatable",
  };
  const answer = await transport.send(call, options);
  const order = answer.result ?? answer["order"];
  if (!isObject(order) || typeof order["gateway"] !== "string") {
    throw lacking(call, answer.status, "order");
  }
  return order as Order;
}

/** Gives a hash that PayU's own checkout asks for. */
export async function hashForPayU(transport: Transport, altTxnId: string, request: PayUHashRequest, options: PayUHashOptions = {}): Promise<string> {
  const call: Call = {
    method: "POST",
    path: `/payU/hash/${segment("altTxnId", altTxnId)}`,
    body: new URLSearchParams({ hashName: request.hashName, hashString: request.hashString }).toString(),
    type: "application/x-www-form-urlencoded",
    ...(options.signature === undefined ? {} : { headers: { "x-signature": secret("signature", options.signature) } }),
    effect: "nothing",
  };
  const answer = await transport.send(call, options);
  if (typeof answer.result !== "string" || answer.result === "") {
    throw lacking(call, answer.status, "hash");
  }
  return answer.result;
}
