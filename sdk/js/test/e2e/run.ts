// The package against a real server: node --test build/test/e2e/run.js, with KSPAY_URL, KSPAY_APP, KSPAY_ACCESS_KEY and KSPAY_SECRET_KEY of an app in
// test mode that takes rupees through at least one gateway. It makes transactions, and pays none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { KSPayClient, KSPayServer } from "kspay-js";
import { KSPayBrowser } from "kspay-js/browser";
import { reference, refusal, rupees, settings } from "./world.js";

const { baseUrl, appId, keys } = settings();
const redirectUrl = process.env["KSPAY_REDIRECT_URL"] ?? "https://shop.example/paid";
const pay = new KSPayServer({ baseUrl, appId, ...keys });
const plain = new KSPayClient({ baseUrl });

test("a token is generated, and refreshed once", async () => {
  const pair = await pay.generateToken();
  assert.ok(Array.isArray(await plain.currencies(pair.accessToken)));
  const next = await pay.refreshToken(pair.refreshToken);
  assert.notEqual(next.refreshToken, pair.refreshToken);
  assert.ok(Array.isArray(await plain.currencies(next.accessToken)));
  assert.deepEqual(await refusal(pay.refreshToken(pair.refreshToken)), [9008, 401]);
});

test("wrong keys and tokens are refused", async () => {
  const wrong = { ...keys, secretKey: "0".repeat(64) };
  assert.deepEqual(await refusal(plain.generateToken(appId, wrong)), [11004, 400]);
  assert.deepEqual(await refusal(plain.generateSignature(appId, wrong)), [11004, 400]);
  assert.deepEqual(await refusal(plain.generateToken(appId, { ...keys, accessKey: `kspay_test_${"0".repeat(24)}` })), [11001, 404]);
  assert.deepEqual(await refusal(plain.generateToken("ap_short", keys)), [-17, 400]);
  const [, status] = await refusal(plain.currencies("no.such.token"));
  assert.ok(status === 400 || status === 401, `${status}`);
});

test("currencies and methods are what the document shows", async () => {
  const [inr, method] = await rupees(pay);
  assert.match(inr.id, /^c_[A-Za-z0-9]{10}$/);
  assert.deepEqual([inr.currencyId, inr.type, inr.isActive], [inr.id, "FIAT", true]);
  assert.match(method.id, /^pm_[A-Za-z0-9]{9}$/);
  assert.equal(method.paymentMethodId, method.id);
  assert.ok(["WALLET", "NET BANKING", "DEBIT CARD", "CREDIT CARD", "UPI", "PAY LATER", "PAYPAL"].includes(method.name), method.name);
});

test("server to server: initiated, processed, found by id and by reference", async () => {
  const [inr, method] = await rupees(pay);
  const referenceNumber = reference();
  const made = await pay.initiate({ currencyId: inr.id, paymentMethodId: method.id, amount: "345.60", referenceNumber });
  assert.match(made.pe_txnId, /^tx_[A-Za-z0-9]{9}$/);
  assert.equal(made.currency, "INR");
  assert.equal(Number(made.amount), 345.6);
  assert.notEqual(made.providerOrderId, "");

  const order = await pay.process(made.signature);
  assert.match(order.checkoutUrl, /^https?:\/\//);
  const again = await pay.process(made.signature);
  assert.equal(again.gateway, order.gateway);
  assert.equal(again["providerOrderId"], order["providerOrderId"], "the same order");

  const byId = await pay.transactionById(made.pe_txnId);
  const byReference = await pay.transactionByReference(referenceNumber);
  assert.deepEqual(byReference, byId);
  assert.deepEqual(
    [byId.id, byId.referenceNumber, byId.status, byId.isPaid, byId.currencyCode, byId.appId, byId.currencyId, byId.paymentMethodId],
    [made.pe_txnId, referenceNumber, "PENDING", false, "INR", appId, inr.id, method.id],
  );
  assert.equal(byId.providerOrderId, made.providerOrderId);
  assert.equal(typeof byId.amount, "string");
  assert.equal(Number(byId.amount), 345.6);
  assert.match(byId.createdAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

for (const auth of ["token", "keys"] as const) {
  test(`checkout flow by ${auth}: initiated with or without a method, processed by a page, and its page opens`, async () => {
    const [inr, method] = await rupees(pay);
    for (const paymentMethodId of [method.id, undefined]) {
      const referenceNumber = reference();
      const signature = await pay.initiateCheckout({ currencyId: inr.id, paymentMethodId, amount: 2, referenceNumber, redirectUrl }, { auth });
      const order = await new KSPayBrowser({ baseUrl }).process(signature);
      const page = await fetch(order.checkoutUrl);
      assert.equal(page.status, 200);
      assert.match(page.headers.get("content-type") ?? "", /^text\/html/);
      const body = await page.text();
      assert.ok(!body.includes(keys.secretKey));
      const transaction = await pay.transactionByReference(referenceNumber);
      assert.deepEqual([transaction.status, Number(transaction.amount)], ["PENDING", 2]);
    }
  });
}

test("the list has what was made, and keeps to its bounds", async () => {
  const [inr, method] = await rupees(pay);
  const made = await pay.initiate({ currencyId: inr.id, paymentMethodId: method.id, amount: "11", referenceNumber: reference() });
  assert.ok((await pay.transactions()).some((t) => t.id === made.pe_txnId));
  assert.equal((await pay.transactions({ page: 1, limit: 1 })).length, 1);
  const day = 86_400_000;
  const now = Date.now();
  const [tooLong] = await refusal(pay.transactions({ fromDate: new Date(now - 91 * day), toDate: new Date(now) }));
  assert.ok(tooLong === 11006 || tooLong === 11008, `${tooLong}: more than 90 days, or since before the app was made`);
  assert.deepEqual(await refusal(pay.transactions({ fromDate: new Date(now), toDate: new Date(now - day) })), [11007, 400]);
  assert.deepEqual(await refusal(pay.transactions({ fromDate: new Date(now) })), [11010, 400]);
  assert.deepEqual(await refusal(pay.transactions({ page: 0 })), [4089, 400]);
  assert.deepEqual(await refusal(pay.transactions({ limit: -1 })), [4056, 400]);
});

test("bad transactions are refused, and nothing of them is kept", async () => {
  const [inr, method] = await rupees(pay);
  const request = { currencyId: inr.id, paymentMethodId: method.id, amount: "10.00", referenceNumber: reference() };
  assert.deepEqual(await refusal(pay.initiate({ ...request, amount: "10.001" })), [-19, 400]);
  assert.deepEqual(await refusal(pay.initiate({ ...request, amount: 0.1 + 0.2 })), [-19, 400]);
  const missing = await refusal(pay.initiate({ ...request, currencyId: "c_0000000000" }));
  assert.equal(missing[1], 400);
  const signature = await pay.generateSignature();
  const forged = signature.slice(0, -2) + (signature.endsWith("aa") ? "bb" : "aa");
  const [, status] = await refusal(plain.initiate(request, forged));
  assert.equal(status, 400);
  assert.deepEqual(await refusal(pay.transactionByReference(request.referenceNumber)), [24, 404]);
  assert.deepEqual(await refusal(pay.transactionById("tx_000000000")), [24, 404]);
  assert.deepEqual(await refusal(pay.transactionById("tx_1")), [-17, 400]);
});

test("a second transaction of the same reference is not made", async () => {
  const [inr, method] = await rupees(pay);
  const request = { currencyId: inr.id, paymentMethodId: method.id, amount: "12.00", referenceNumber: reference() };
  const first = await pay.initiate(request);
  assert.deepEqual(await refusal(pay.initiate({ ...request, amount: "13.00" })), [-17, 400]);
  assert.equal((await pay.transactionByReference(request.referenceNumber)).id, first.pe_txnId);
});

test("with an idempotency key the same request is the same transaction, and another request is refused", async () => {
  const [inr, method] = await rupees(pay);
  const request = { currencyId: inr.id, paymentMethodId: method.id, amount: "14.00", referenceNumber: reference() };
  const options = { idempotencyKey: request.referenceNumber, signature: await pay.generateSignature() };
  const first = await pay.initiate(request, options);
  assert.deepEqual(await pay.initiate(request, options), first);
  assert.deepEqual(await refusal(pay.initiate({ ...request, amount: "15.00" }, options)), [-17, 400]);
  const order = await pay.process(first.signature, { transactionId: first.pe_txnId });
  assert.match(order.checkoutUrl, /^https?:/);

  const checkout = { currencyId: inr.id, amount: "16.00", referenceNumber: reference(), redirectUrl };
  const signatures = [
    await pay.initiateCheckout(checkout, { idempotencyKey: checkout.referenceNumber }),
    await pay.initiateCheckout(checkout, { idempotencyKey: checkout.referenceNumber }),
  ];
  const orders = [await pay.process(signatures[0]!), await pay.process(signatures[1]!)];
  assert.equal(orders[0]!["providerOrderId"], orders[1]!["providerOrderId"]);
});

test("PayU's own checkout gets its hashes, of this transaction alone", async (t) => {
  const [inr, method] = await rupees(pay);
  const signature = (await pay.initiate({ currencyId: inr.id, paymentMethodId: method.id, amount: "17.00", referenceNumber: reference() })).signature;
  const order = await pay.process(signature);
  if (order.gateway !== "payu") {
    t.diagnostic(`the gateway is ${order.gateway}, which needs none`);
    assert.deepEqual(await refusal(pay.payuHash("tx_000000000", { hashName: "x", hashString: "y" })), [24, 404]);
    return;
  }
  const { key } = order.details.initiateTransaction;
  const request = { hashName: "vas_for_mobile_sdk", hashString: `${key}|vas_for_mobile_sdk|default|` };
  const hash = await new KSPayBrowser({ baseUrl }).payuHash(order.altTxnId, request);
  assert.match(hash, /^[0-9a-f]{128}$/);
  assert.equal(await pay.payuHash(order.altTxnId, request, { signature }), hash);
  const [, status] = await refusal(pay.payuHash(order.altTxnId, { hashName: "x", hashString: `other${request.hashString}` }));
  assert.equal(status, 400);
});
