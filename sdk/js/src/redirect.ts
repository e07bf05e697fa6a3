/** What the customer's browser brings back to your `redirectUrl`. */
export interface RedirectResult {
  /** What the address claims, in lower case, such as `success` or `failed`. Anybody can write such an address. */
  paymentStatus: string;
  /** Our transaction, `tx_...`: ask your server, and it `transactionById`. */
  kspayId: string;
  /** The gateway's payment, if there is one. */
  providerPaymentId: string | null;
}

/**
 * Reads `payment_status`, `kspay_id` and `provider_payment_id` from the address that the customer came back to; null when it is not such an
 * address.
 *
 * **This is no proof of payment.** The customer can type the address. Show a page by it, but deliver nothing: let your server ask
 * `transactionById(kspayId)`, check that the transaction is the one of this order, and believe its `status`.
 *
 * @param url - the address, or its query alone
 */
export function parseRedirect(url: string | URL): RedirectResult | null {
  const text = String(url).replace(/#[\s\S]*$/, "");
  const query = new URLSearchParams(text.slice(text.indexOf("?") + 1));
  const kspayId = query.get("kspay_id");
  const paymentStatus = query.get("payment_status");
  if (kspayId === null || !/^tx_[A-Za-z0-9]{9}$/.test(kspayId) || paymentStatus === null || !/^[A-Za-z_]{1,32}$/.test(paymentStatus)) {
    return null;
  }
  const payment = query.get("provider_payment_id");
  return {
    paymentStatus: paymentStatus.toLowerCase(),
    kspayId,
    providerPaymentId: payment !== null && /^[\x21-\x7e]{1,128}$/.test(payment) ? payment : null,
  };
}
