import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { KSPayClient, KSPayError, KSPayNetworkError, KSPayServer, KSPayTimeoutError } from "kspay-js";
import { appId, fake, keys, ok, order, refusal, type Reply } from "./fake.js";

/** The error that a call ends with. */
async function failure(call: Promise<unknown>): Promise<KSPayError> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof KSPayError, inspect(error));
    return error;
  }
  throw new assert.AssertionError({ message: "the call did not fail" });
}

const quick = { retryDelayMs: 0 };

test("a refusal has the server's message, code, status and request id", async (t) => {
  const server = await fake(t, () => refusal(400, 11005, "The provided signature has expired"));
  const error = await failure(new KSPayClient({ baseUrl: server.url }).initiate(order, "sig"));
  assert.deepEqual(
    { message: error.message, code: error.code, httpStatus: error.httpStatus, requestId: error.requestId, retryable: error.retryable, outcomeUnknown: error.outcomeUnknown },
    { message: "The provided signature has expired", code: 11005, httpStatus: 400, requestId: "req-7", retryable: false, outcomeUnknown: false },
  );
  assert.equal(server.seen.length, 1);
});

test("a message of the server is bounded, and holds no control characters", async (t) => {
  const server = await fake(t, () => refusal(400, 25, `\u001b[2J\n${"x".repeat(5000)}`));
  const error = await failure(new KSPayClient({ baseUrl: server.url }).currencies("A"));
  assert.match(error.message, /^ \[2J x{490,500}$/);
});

const unreadable: [string, Reply][] = [
  ["a proxy's page", { status: 502, headers: { "Content-Type": "text/html" }, body: "<html>Bad Gateway</html>" }],
  ["garbage", { status: 200, body: "\u0000\u0001{" }],
  ["nothing", { status: 200, body: "" }],
  ["a list", { status: 200, body: [1] }],
  ["an envelope without a result", { status: 200, body: { status: 200, message: "success" } }],
  ["a result of another kind", ok("text")],
  ["an error without a code", { status: 500, body: { error: "x" } }],
  ["numbers that are none", { status: 200, body: '{"result":{"pe_txnId":"tx_1","amount":1.2.3}}' }],
  ["a redirect", { status: 307, headers: { Location: "https://elsewhere.example/" }, body: "" }],
  ["more than is read", { status: 200, body: `{"result":"${"x".repeat(17 << 20)}"}` }],
];

for (const [what, reply] of unreadable) {
  test(`${what} is BAD_RESPONSE, and leaves an initiation open`, async (t) => {
    const server = await fake(t, () => reply);
    const client = new KSPayClient({ baseUrl: server.url, ...quick, maxRetries: 0 });
    const made = await failure(client.initiate(order, "sig"));
    assert.equal(made.code, "BAD_RESPONSE");
    assert.equal(made.outcomeUnknown, true);
    assert.equal(made.retryable, false);
    assert.match(made.message, /whether it was done is not known: ask transactionByReference\("ORDER-1"\)/);
    const read = await failure(client.currencies("A"));
    assert.equal(read.code, "BAD_RESPONSE");
    assert.equal(read.outcomeUnknown, false);
  });
}

test("4xx that is not the server's own is a refusal all the same", async (t) => {
  const server = await fake(t, () => ({ status: 404, body: "404 page not found" }));
  const error = await failure(new KSPayClient({ baseUrl: server.url }).initiate(order, "sig"));
  assert.deepEqual([error.code, error.httpStatus, error.outcomeUnknown, error.retryable], ["BAD_RESPONSE", 404, false, false]);
});

test("a redirect is not followed, so no secret goes elsewhere", async (t) => {
  const elsewhere = await fake(t, () => ok([]));
  const server = await fake(t, () => ({ status: 308, headers: { Location: `${elsewhere.url}/currencies` }, body: "" }));
  const error = await failure(new KSPayClient({ baseUrl: server.url, maxRetries: 0 }).generateToken(appId, keys));
  assert.equal(error.code, "BAD_RESPONSE");
  assert.equal(elsewhere.seen.length, 0);
});

test("reads are tried again after 429, 5xx and lost connections; then they end with the last error", async (t) => {
  const script: Reply[] = [refusal(503, 26), "drop", { status: 429, headers: { "Retry-After": "0" }, body: { status: 429, code: 11005, message: "Too many" } }, "half"];
  const server = await fake(t, (_, before) => script[before] ?? ok([]));
  const client = new KSPayClient({ baseUrl: server.url, ...quick, maxRetries: 4 });
  assert.deepEqual(await client.currencies("A"), []);
  assert.equal(server.seen.length, 5);

  const down = await fake(t, () => refusal(500, 26));
  const error = await failure(new KSPayClient({ baseUrl: down.url, ...quick }).transactionById("tx_UOVynlQ0j", "A"));
  assert.deepEqual([error.code, error.httpStatus, error.retryable, error.outcomeUnknown], [26, 500, true, false]);
  assert.equal(down.seen.length, 3);
});

test("a refusal is not tried again", async (t) => {
  const server = await fake(t, () => refusal(404, 24));
  await failure(new KSPayClient({ baseUrl: server.url, ...quick }).transactionById("tx_UOVynlQ0j", "A"));
  assert.equal(server.seen.length, 1);
});

test("a server that asks for a long wait is not waited for: the error tells how long", async (t) => {
  const server = await fake(t, () => ({ status: 503, headers: { "Retry-After": "3600" }, body: { status: 503, code: 26, message: "later" } }));
  const error = await failure(new KSPayClient({ baseUrl: server.url, ...quick }).currencies("A"));
  assert.equal(error.retryAfterMs, 3_600_000);
  assert.equal(server.seen.length, 1);
});

test("initiate and process are sent once, whatever comes back", async (t) => {
  const replies: [Reply, boolean][] = [
    ["drop", true],
    ["half", true],
    [refusal(500, 26), true],
    [refusal(503, 26), true],
    [refusal(429, 11005), false],
    [refusal(400, -19), false],
  ];
  for (const [reply, open] of replies) {
    const server = await fake(t, () => reply);
    const client = new KSPayClient({ baseUrl: server.url, ...quick });
    const error = await failure(client.initiate(order, "sig"));
    assert.equal(error.outcomeUnknown, open, JSON.stringify(reply));
    assert.equal(error.retryable, !open && error.httpStatus === 429);
    const checkout = await failure(client.initiateCheckout(appId, { ...order, redirectUrl: "https://shop.example/" }, { accessToken: "A" }));
    assert.equal(checkout.outcomeUnknown, open);
    const processed = await failure(client.process("sig"));
    assert.equal(processed.outcomeUnknown, false, "the same order is given again");
    assert.equal(processed.retryable, error.httpStatus !== 400);
    assert.equal(server.seen.length, 3);
  }
});

test("with an idempotency key an initiation is tried again, the same bytes under the same key; and an error tells that it may be", async (t) => {
  const script: Reply[] = ["drop", refusal(503, 28), ok({ pe_txnId: "tx_UOVynlQ0j", amount: 345.67 }, 201)];
  const server = await fake(t, (_, before) => script[before] ?? "drop");
  const client = new KSPayClient({ baseUrl: server.url, ...quick });
  const made = await client.initiate(order, "sig", { idempotencyKey: "ORDER-1" });
  assert.equal(made.pe_txnId, "tx_UOVynlQ0j");
  assert.equal(server.seen.length, 3);
  assert.equal(new Set(server.seen.map((s) => s.body)).size, 1);
  assert.ok(server.seen.every((s) => s.headers["idempotency-key"] === "ORDER-1" && s.headers["x-signature"] === "sig"));

  const checkout = { ...order, redirectUrl: "https://shop.example/" };
  const error = await failure(client.initiateCheckout(appId, checkout, keys, { idempotencyKey: "ORDER-1" }));
  assert.deepEqual([error.code, error.outcomeUnknown, error.retryable, server.seen.length], ["NETWORK", true, true, 6]);
  assert.match(error.message, /or initiate it again with the same idempotencyKey$/);
  for (const idempotencyKey of ["", " ", "a\nb", "x".repeat(256), "ü"]) {
    assert.equal((await failure(client.initiate(order, "sig", { idempotencyKey }))).code, "INVALID_ARGUMENT");
  }
});

test("no answer is a network error, and no answer in time is a timeout: both distinct, both open for an initiation", async (t) => {
  const silent = await fake(t, () => "silent");
  const client = new KSPayClient({ baseUrl: silent.url, timeoutMs: 30, maxRetries: 1, retryDelayMs: 0 });
  const late = await failure(client.initiate(order, "sig"));
  assert.ok(late instanceof KSPayTimeoutError);
  assert.deepEqual([late.code, late.httpStatus, late.outcomeUnknown, late.retryable], ["TIMEOUT", 0, true, false]);
  assert.match(late.message, /within 30 ms; whether it was done is not known/);
  assert.equal(silent.seen.length, 1);
  const read = await failure(client.currencies("A"));
  assert.ok(read instanceof KSPayTimeoutError && read.retryable && !read.outcomeUnknown);

  const gone = new KSPayClient({ baseUrl: "http://127.0.0.1:1/v1", ...quick });
  const refused = await failure(gone.initiate(order, "sig"));
  assert.ok(refused instanceof KSPayNetworkError);
  assert.deepEqual([refused.code, refused.httpStatus, refused.outcomeUnknown], ["NETWORK", 0, true]);
  assert.ok(refused.cause instanceof Error);
});

test("the caller's signal ends a call, before, during, and while it waits to try again", async (t) => {
  const before = await failure(new KSPayClient({ baseUrl: "https://pay.example.com" }).initiate(order, "sig", { signal: AbortSignal.abort() }));
  assert.deepEqual([before.code, before.outcomeUnknown], ["ABORTED", false]);

  const during = new AbortController();
  const server = await fake(t, () => {
    during.abort(new Error("enough"));
    return "silent";
  });
  const error = await failure(new KSPayClient({ baseUrl: server.url }).initiate(order, "sig", { signal: during.signal }));
  assert.deepEqual([error.code, error.outcomeUnknown, (error.cause as Error).message], ["ABORTED", true, "enough"]);

  const waiting = new AbortController();
  const busy = await fake(t, () => {
    setImmediate(() => setImmediate(() => waiting.abort()));
    return { status: 503, headers: { "Retry-After": "20" }, body: { status: 503, code: 26, message: "later" } };
  });
  const stopped = await failure(new KSPayClient({ baseUrl: busy.url }).currencies("A", { signal: waiting.signal }));
  assert.equal(stopped.code, "ABORTED");
  assert.equal(busy.seen.length, 1);
});

test("no error and no printed client shows a secret", async (t) => {
  const server = await fake(t, () => "drop");
  const pay = new KSPayServer({ baseUrl: server.url, appId, ...keys, maxRetries: 0 });
  const error = await failure(pay.currencies());
  for (const text of [inspect(error, { depth: 9, showHidden: true }), String(error.stack), inspect(pay, { depth: 9, showHidden: true }), JSON.stringify(pay)]) {
    assert.ok(!text.includes(keys.secretKey) && !text.includes(keys.accessKey), text);
  }
});
