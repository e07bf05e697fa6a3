import assert from "node:assert/strict";
import { test } from "node:test";
import { KSPayClient, KSPayError, type Amount } from "kspay-js";
import { appId, fake, keys, ok, order, type Seen } from "./fake.js";

const transaction = { id: "tx_UOVynlQ0j", referenceNumber: "ORDER-1", status: "SUCCESS", isPaid: true, amount: "11" };

/** Makes one call against a server with one answer, and gives back what was sent. */
async function sent<T>(t: Parameters<typeof fake>[0], result: ReturnType<typeof ok>, call: (c: KSPayClient) => Promise<T>): Promise<[Seen, T]> {
  const server = await fake(t, () => result);
  const got = await call(new KSPayClient({ baseUrl: `${server.url}/` }));
  assert.equal(server.seen.length, 1);
  return [server.seen[0]!, got];
}

test("generateToken and generateSignature send the keys, and nothing else, to the app's address", async (t) => {
  const [token, pair] = await sent(t, ok({ accessToken: "A", refreshToken: "R" }, 201), (c) => c.generateToken(appId, keys));
  assert.equal(`${token.method} ${token.path}`, `POST /v1/auth/generate-token/${appId}`);
  assert.deepEqual(JSON.parse(token.body), keys);
  assert.equal(token.headers["content-type"], "application/json");
  assert.equal(token.headers.authorization, undefined);
  assert.deepEqual(pair, { accessToken: "A", refreshToken: "R" });

  const [signature, got] = await sent(t, ok("7b452bc7f5adfe1d65e", 201), (c) => c.generateSignature(appId, keys));
  assert.equal(`${signature.method} ${signature.path}`, `POST /v1/auth/generate-signature/${appId}`);
  assert.deepEqual(JSON.parse(signature.body), keys);
  assert.equal(got, "7b452bc7f5adfe1d65e");
});

test("refreshToken sends the refresh token without Bearer", async (t) => {
  const [seen, pair] = await sent(t, ok({ accessToken: "A2", refreshToken: "R2" }, 201), (c) => c.refreshToken("R1", keys));
  assert.equal(`${seen.method} ${seen.path}`, "POST /v1/auth/refresh-token");
  assert.equal(seen.headers.authorization, "R1");
  assert.deepEqual(JSON.parse(seen.body), keys);
  assert.deepEqual(pair, { accessToken: "A2", refreshToken: "R2" });
});

test("currencies and paymentMethods ask with Bearer", async (t) => {
  const inr = { id: "c_WkmEe23LeI", name: "Rupees", code: "INR", symbol: "Rs", type: "FIAT", isActive: true };
  const [currencies, list] = await sent(t, ok([inr]), (c) => c.currencies("A"));
  assert.equal(`${currencies.method} ${currencies.path}`, "GET /v1/currencies");
  assert.equal(currencies.headers.authorization, "Bearer A");
  assert.deepEqual(list, [inr]);

  const method = { id: "pm_Mk55VGvFm", name: "NET BANKING", isActive: true };
  const [methods, all] = await sent(t, ok([method]), (c) => c.paymentMethods("c_WkmEe23LeI", "A"));
  assert.equal(`${methods.method} ${methods.path}`, "GET /v1/c_WkmEe23LeI/payment-methods");
  assert.deepEqual(all, [method]);
});

test("initiate is signed, and its amounts are exact both ways", async (t) => {
  const answer = {
    status: 201,
    body: '{"status":201,"message":"success","result":{"pe_txnId":"tx_UOVynlQ0j","providerOrderId":"order_1","amount":12345678901234567.10,"currency":"INR","note":"\\"amount\\":1"}}',
  };
  const [seen, made] = await sent(t, answer, (c) => c.initiate({ ...order, amount: "12345678901234567.10" }, "sig"));
  assert.equal(`${seen.method} ${seen.path}`, "POST /v1/transaction/initiate");
  assert.equal(seen.headers["x-signature"], "sig");
  assert.equal(seen.headers.authorization, undefined);
  assert.equal(
    seen.body,
    '{"currencyId":"c_JdzYuwqF6O","paymentMethodId":"pm_5LR93Agwv","referenceNumber":"ORDER-1","amount":12345678901234567.10}',
  );
  assert.equal(made.amount, "12345678901234567.10");
  assert.equal(made.pe_txnId, "tx_UOVynlQ0j");
  assert.equal(made["note"], '"amount":1');
});

test("an amount is sent digit for digit, or not at all", async (t) => {
  const server = await fake(t, () => ok({ pe_txnId: "tx_UOVynlQ0j" }, 201));
  const client = new KSPayClient({ baseUrl: server.url });
  const cases: [Amount, string][] = [
    ["1", "1"],
    ["0.10", "0.10"],
    ["100.00", "100.00"],
    ["0.00000001", "0.00000001"],
    [345.67, "345.67"],
    [2, "2"],
    [0.1 + 0.2, "0.30000000000000004"],
  ];
  for (const [amount, digits] of cases) {
    await client.initiate({ ...order, amount }, "sig");
    assert.ok(server.seen.at(-1)!.body.endsWith(`"amount":${digits}}`), `${amount}`);
  }
  const before = server.seen.length;
  const bad: unknown[] = ["", " 1", "1.", ".5", "01", "+1", "-1", -1, 0, "0.00", "1,000", "1e3", 1e21, 1e-7, NaN, Infinity, 2 ** 53, "٣", null, undefined, {}, ["1"], '1,"x":2'];
  for (const amount of bad) {
    await assert.rejects(client.initiate({ ...order, amount: amount as Amount }, "sig"), { name: "KSPayError", code: "INVALID_ARGUMENT", outcomeUnknown: false });
  }
  assert.equal(server.seen.length, before, "nothing was sent");
});

test("initiateCheckout asks with Bearer, or with the keys in headers", async (t) => {
  const request = { ...order, redirectUrl: "https://shop.example/paid", interfaceType: "sdk" as const };
  const both = ok("sig", 201, { signature: "sig" });
  const [bearer, signature] = await sent(t, both, (c) => c.initiateCheckout(appId, request, { accessToken: "A" }));
  assert.equal(signature, "sig");
  assert.equal(`${bearer.method} ${bearer.path}`, "POST /v1/transaction/initiate");
  assert.equal(bearer.headers.authorization, "Bearer A");
  assert.equal(bearer.headers["secretkey"], undefined);
  assert.deepEqual(JSON.parse(bearer.body), { ...request, appId, amount: 345.67 });

  const { paymentMethodId: _, ...any } = order;
  const [keyed] = await sent(t, both, (c) => c.initiateCheckout(appId, { ...any, redirectUrl: request.redirectUrl }, keys));
  assert.equal(keyed.headers["accesskey"], keys.accessKey);
  assert.equal(keyed.headers["secretkey"], keys.secretKey);
  assert.equal(keyed.headers.authorization, undefined);
  assert.deepEqual(JSON.parse(keyed.body), { ...any, redirectUrl: request.redirectUrl, appId, amount: 345.67 });

  // The document's own sample has no envelope.
  const [, bare] = await sent(t, { status: 201, body: { signature: "sig-2" } }, (c) => c.initiateCheckout(appId, request, { accessToken: "A" }));
  assert.equal(bare, "sig-2");
});

test("process sends the signature and no body, and takes result or order", async (t) => {
  const razorpay = { gateway: "razorpay", clientId: "rzp_test_1", amount: 345.67, providerOrderId: "order_1", checkoutUrl: "https://pay.example/checkout/x" };
  const [seen, got] = await sent(t, ok(razorpay, 201, { order: razorpay }), (c) => c.process("sig", { origin: "https://shop.example" }));
  assert.equal(`${seen.method} ${seen.path}`, "POST /v1/transaction/process");
  assert.equal(seen.headers["x-signature"], "sig");
  assert.equal(seen.headers.origin, "https://shop.example");
  assert.equal(seen.body, "");
  assert.deepEqual(got, { ...razorpay, amount: "345.67" });

  const [, bare] = await sent(t, { status: 201, body: { order: razorpay } }, (c) => c.process("sig"));
  assert.equal(bare.gateway, "razorpay");

  const [named] = await sent(t, ok(razorpay, 201), (c) => c.process("sig", { transactionId: "tx_UOVynlQ0j" }));
  assert.equal(named.body, '{"pe_txnId":"tx_UOVynlQ0j"}');
});

test("transactions are found by id, by reference, and listed", async (t) => {
  const [byId, one] = await sent(t, ok(transaction), (c) => c.transactionById("tx_UOVynlQ0j", "A"));
  assert.equal(`${byId.method} ${byId.path}`, "GET /v1/transaction/txnId/tx_UOVynlQ0j");
  assert.equal(one.amount, "11");

  const [byReference] = await sent(t, ok(transaction), (c) => c.transactionByReference("ORDER-1", "A"));
  assert.equal(byReference.path, "/v1/transaction/referenceNo/ORDER-1");

  const filter = { fromDate: new Date("2026-01-02T03:04:05Z"), toDate: "2026-02-01", page: 2, limit: 10 };
  const [listed, list] = await sent(t, ok([transaction]), (c) => c.transactions(filter, "A"));
  assert.equal(listed.path, "/v1/transaction?fromDate=2026-01-02T03%3A04%3A05.000Z&toDate=2026-02-01&page=2&limit=10");
  assert.equal(listed.headers.authorization, "Bearer A");
  assert.equal(list.length, 1);

  const [unfiltered] = await sent(t, ok([]), (c) => c.transactions({}, "A"));
  assert.equal(unfiltered.path, "/v1/transaction");
});

test("payuHash posts a form", async (t) => {
  const [seen, hash] = await sent(t, ok("abc123", 201), (c) => c.payuHash("tx_UOVynlQ0j", { hashName: "payment_source", hashString: "k|t&x=1|" }));
  assert.equal(`${seen.method} ${seen.path}`, "POST /v1/payU/hash/tx_UOVynlQ0j");
  assert.equal(seen.headers["content-type"], "application/x-www-form-urlencoded");
  assert.deepEqual(Object.fromEntries(new URLSearchParams(seen.body)), { hashName: "payment_source", hashString: "k|t&x=1|" });
  assert.equal(hash, "abc123");
  assert.equal(seen.headers["x-signature"], undefined);
  const [signed] = await sent(t, ok("h", 201), (c) => c.payuHash("tx_UOVynlQ0j", { hashName: "a", hashString: "b" }, { signature: "sig" }));
  assert.equal(signed.headers["x-signature"], "sig");
});

test("what cannot be right is refused before anything is sent, and no secret is repeated", async (t) => {
  const server = await fake(t, () => ok({}));
  const client = new KSPayClient({ baseUrl: server.url });
  const wrong: (() => Promise<unknown>)[] = [
    () => client.transactionById("..", "A"),
    () => client.transactionById("tx/../x", "A"),
    () => client.transactionByReference("", "A"),
    () => client.paymentMethods("c_1?x=", "A"),
    () => client.generateToken("ap 1", keys),
    () => client.generateToken(appId, { ...keys, secretKey: "sesame\r\nX: y" }),
    () => client.initiateCheckout(appId, { ...order, redirectUrl: "https://shop.example/" }, { accessKey: "", secretKey: "sesame" }),
    () => client.initiate({ ...order, referenceNumber: "with space" }, "sig"),
    () => client.currencies("sesame\n"),
    () => client.process("sesame\u20ac"),
    () => client.transactions({ fromDate: new Date(NaN) }, "A"),
  ];
  for (const call of wrong) {
    await assert.rejects(call, (error: unknown) => {
      assert.ok(error instanceof KSPayError);
      assert.equal(error.code, "INVALID_ARGUMENT");
      assert.doesNotMatch(String(error.stack), /sesame/);
      return true;
    });
  }
  assert.equal(server.seen.length, 0);
});

test("an address that would carry secrets in clear is refused", () => {
  for (const baseUrl of ["http://pay.example.com/v1", "http://127.0.0.1.example.com", "ftp://127.0.0.1/", "https://u:p@pay.example.com", "https://pay.example.com/v1?x=1", "pay.example.com", ""]) {
    assert.throws(() => new KSPayClient({ baseUrl }), { code: "INVALID_ARGUMENT" }, baseUrl);
  }
  for (const baseUrl of ["https://pay.example.com/v1/", "https://pay.example.com", "http://localhost:8080/v1", "http://[::1]:8080", "http://127.0.0.1:1/v1"]) {
    assert.ok(new KSPayClient({ baseUrl }));
  }
  for (const options of [{ timeoutMs: 0 }, { timeoutMs: 1e9 }, { maxRetries: -1 }, { maxRetries: 1.5 }, { retryDelayMs: NaN }]) {
    assert.throws(() => new KSPayClient({ baseUrl: "https://pay.example.com", ...options }), { code: "INVALID_ARGUMENT" });
  }
});
