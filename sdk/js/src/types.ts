import type { Amount } from "./exact.js";

/** What an access token is asked for with. The secret key belongs on a server, never in a page or an app. */
export interface Keys {
  /** `kspay_test_` or `kspay_live_` and 24 hex digits. */
  accessKey: string;
  /** 64 hex digits. */
  secretKey: string;
}

/** An access token, and what it is renewed with, once. */
export interface TokenPair {
  accessToken: string;
  refreshToken: string;
}

/** A currency that the app takes. */
export interface Currency {
  /** `c_...` */
  id: string;
  /** The same as {@link id}. */
  currencyId?: string;
  name: string;
  /** ISO 4217, such as `INR`. */
  code: string;
  symbol: string;
  type: string;
  userId?: string;
  isActive: boolean;
  isDisabled?: boolean;
  createdAt?: string;
  updatedAt?: string;
}

/** A way to pay. */
export interface PaymentMethod {
  /** `pm_...` */
  id: string;
  /** The same as {@link id}. */
  paymentMethodId?: string;
  /** WALLET, NET BANKING, DEBIT CARD, CREDIT CARD, UPI, PAY LATER or PAYPAL. */
  name: string;
  isActive: boolean;
  isDisabled?: boolean;
}

/** A transaction to be made, server to server. */
export interface TransactionRequest {
  /** `c_...`, of {@link Currency}. */
  currencyId: string;
  /** `pm_...`, of {@link PaymentMethod}. */
  paymentMethodId: string;
  /** In the currency's major unit (rupees, not paise). A string is sent digit for digit. */
  amount: Amount;
  /** Yours: unique in the app, up to 64 of `[A-Za-z0-9_-]`. It finds the transaction again when an answer was lost. */
  referenceNumber: string;
}

/** A transaction to be paid at the checkout page. */
export interface CheckoutRequest extends Omit<TransactionRequest, "paymentMethodId"> {
  /** `pm_...`; without it the customer chooses among all methods of the app. */
  paymentMethodId?: string | undefined;
  /** Where the customer's browser goes after payment, with what {@link parseRedirect} reads. */
  redirectUrl: string;
  /** `sdk` for apps that open the gateway's own dialogue. */
  interfaceType?: "sdk" | "web" | undefined;
}

/** A transaction that was made, server to server. */
export interface InitiatedTransaction {
  /** `tx_...`: our id. */
  pe_txnId: string;
  /** The gateway's order. */
  providerOrderId: string;
  /** The digits that the server sent. */
  amount: string;
  /** ISO 4217. */
  currency: string;
  gateway?: string;
  method?: string;
  mode?: string;
  /** What tells the gateway's checkout which method to show. */
  config?: unknown;
  [field: string]: unknown;
}

/** What every order has, whichever gateway it is at. */
export interface OrderBase {
  /** Our hosted page, which `checkout` opens. */
  checkoutUrl: string;
  [field: string]: unknown;
}

/** An order at Razorpay, with what its own checkout needs. */
export interface RazorpayOrder extends OrderBase {
  gateway: "razorpay";
  /** The public key of the account. */
  clientId: string;
  /** In **minor** units (paise), as Razorpay's own checkout takes it. */
  amount: string;
  providerOrderId: string;
  config?: unknown;
}

/** An order at PayU, with the form that its page takes. Its hashes come from `payuHash`. */
export interface PayUOrder extends OrderBase {
  gateway: "payu";
  mode: string;
  altTxnId: string;
  details: {
    initiateTransaction: {
      key: string;
      amount: string;
      productinfo: string;
      firstname: string;
      email: string;
      phone: string;
      surl: string;
      furl: string;
      enforce_paymethod?: string;
      [field: string]: unknown;
    };
    [field: string]: unknown;
  };
}

/** An order at a gateway that has no dialogue of its own here: it is paid at {@link OrderBase.checkoutUrl}. */
export interface HostedOrder extends OrderBase {
  gateway: "cashfree" | "paypal";
  /** In the currency's major unit. */
  amount: string;
  providerOrderId: string;
}

/** An order that a customer can pay. */
export type Order = RazorpayOrder | PayUOrder | HostedOrder;

/** `PENDING` may still become any of the others; a late payment turns even `FAILED` or `EXPIRED` into `SUCCESS`. */
export type TransactionStatus = "PENDING" | "SUCCESS" | "FAILED" | "EXPIRED";

/** A transaction as the server knows it: the only proof of payment. */
export interface Transaction {
  /** `tx_...` */
  id: string;
  referenceNumber: string;
  status: TransactionStatus;
  isPaid: boolean;
  /** The digits that the server sent, such as `"11"`. */
  amount: string;
  currencyCode: string;
  currencyId: string;
  appId: string;
  paymentMethodId: string | null;
  providerOrderId: string | null;
  providerTxnId: string | null;
  providerName: string | null;
  /** Of the gateway: CREATED, CAPTURED, FAILED and others. */
  providerStatus: string | null;
  providerPaymentType: string | null;
  providerSubpaymentType: string | null;
  paymentType: string | null;
  subPaymentType: string | null;
  gatewayConfigId: string | null;
  origin: string | null;
  signature: string | null;
  userId: string | null;
  /** ISO 8601, UTC, milliseconds. */
  createdAt: string;
  updatedAt: string;
  [field: string]: unknown;
}

/** Which transactions to list. */
export interface TransactionFilter {
  /** Both or neither, at most 90 days apart. A Date is sent as its UTC instant, a string as it is. */
  fromDate?: Date | string | undefined;
  toDate?: Date | string | undefined;
  /** From 1. */
  page?: number | undefined;
  limit?: number | undefined;
}

/** What PayU's checkout asks to be hashed. */
export interface PayUHashRequest {
  hashName: string;
  hashString: string;
}
