import assert from "node:assert/strict";
import { test } from "node:test";
import { KSPayServer } from "kspay-js";
import { appId, fake, keys, ok, order, refusal, type Fake, type Reply, type Seen } from "./fake.js";

const generate = `/v1/auth/generate-token/${appId}`;
const refresh = "/v1/auth/refresh-token";

/** A server with tokens A1, A2, ...: only the last one is good, and only the last refresh token, once. */
class Issuer {
  issued = 0;
  server!: Fake;
  /** Decides about a call to the token endpoints before the issuer does. */
  before: (seen: Seen) => Reply | undefined | Promise<Reply | undefined> = () => undefined;
  token = (n: number): string => `A${n}`;

  answer = async (seen: Seen): Promise<Reply> => {
    if (seen.path === generate || seen.path === refresh) {
      const reply = await this.before(seen);
      if (reply !== undefined) {
        return reply;
      }
      if (seen.path === refresh && seen.headers.authorization !== `R${this.issued}`) {
        return refusal(401, 9008, "Refresh token has expired.");
      }
      this.issued++;
      return ok({ accessToken: this.token(this.issued), refreshToken: `R${this.issued}` }, 201);
    }
    if (seen.path.includes("signature")) {
      return ok("sig", 201);
    }
    if (seen.headers.authorization !== undefined && seen.headers.authorization !== `Bearer ${this.token(this.issued)}`) {
      return refusal(401, 9009, "Token has expired.");
    }
    return seen.method === "POST" ? ok("sig-of-checkout", 201) : ok([]);
  };

  /** Ends the tokens that are out. */
  end(): void {
    this.issued += 100;
  }

  paths(): string[] {
    return this.server.seen.map((s) => s.path);
  }
}

async function setUp(t: Parameters<typeof fake>[0]): Promise<[Issuer, KSPayServer]> {
  const issuer = new Issuer();
  issuer.server = await fake(t, issuer.answer);
  return [issuer, new KSPayServer({ baseUrl: issuer.server.url, appId, ...keys, retryDelayMs: 0 })];
}

test("a token is got when it is first needed, and kept", async (t) => {
  const [issuer, pay] = await setUp(t);
  await pay.currencies();
  await pay.paymentMethods("c_JdzYuwqF6O");
  assert.equal(await pay.accessToken(), "A1");
  assert.deepEqual(issuer.paths(), [generate, "/v1/currencies", "/v1/c_JdzYuwqF6O/payment-methods"]);
});

test("9009 is answered by one refresh, and the call is made once more", async (t) => {
  const [issuer, pay] = await setUp(t);
  await pay.currencies();
  issuer.before = (seen) => {
    if (seen.path === refresh) {
      assert.equal(seen.headers.authorization, "R1");
      return ok({ accessToken: issuer.token(issuer.issued), refreshToken: "R2" }, 201);
    }
    return undefined;
  };
  issuer.end();
  assert.deepEqual(await pay.currencies(), []);
  assert.deepEqual(issuer.paths().slice(2), ["/v1/currencies", refresh, "/v1/currencies"]);
});

test("a server that calls every token ended is asked twice, not for ever", async (t) => {
  const server = await fake(t, (seen) =>
    seen.path === generate || seen.path === refresh ? ok({ accessToken: "A", refreshToken: "R" }, 201) : refusal(401, 9009),
  );
  const pay = new KSPayServer({ baseUrl: server.url, appId, ...keys });
  await assert.rejects(pay.currencies(), { code: 9009, httpStatus: 401 });
  assert.deepEqual(server.seen.map((s) => s.path), [generate, "/v1/currencies", refresh, "/v1/currencies"]);
});

test("a refresh token that has ended (9008) is answered by a new token", async (t) => {
  const [issuer, pay] = await setUp(t);
  await pay.currencies();
  issuer.end();
  assert.deepEqual(await pay.currencies(), []);
  assert.deepEqual(issuer.paths().slice(2), ["/v1/currencies", refresh, generate, "/v1/currencies"]);
});

test("a refresh whose answer is lost may have spent the token: a new one is generated, and the old one is not tried again", async (t) => {
  const [issuer, pay] = await setUp(t);
  await pay.currencies();
  issuer.end();
  issuer.before = (seen) => (seen.path === refresh ? "drop" : undefined);
  assert.deepEqual(await pay.currencies(), []);
  assert.deepEqual(issuer.paths().slice(2), ["/v1/currencies", refresh, generate, "/v1/currencies"]);
});

test("any number of callers cause one token, and later one refresh", async (t) => {
  const [issuer, pay] = await setUp(t);
  const many = (): Promise<unknown> => Promise.all(Array.from({ length: 20 }, () => pay.currencies()));
  await many();
  assert.equal(issuer.paths().filter((p) => p === generate).length, 1);
  issuer.before = (seen) => (seen.path === refresh ? ok({ accessToken: issuer.token(issuer.issued), refreshToken: "R2" }, 201) : undefined);
  issuer.end();
  await many();
  assert.equal(issuer.paths().filter((p) => p === refresh).length, 1);
  assert.equal(issuer.paths().filter((p) => p === generate).length, 1);
});

test("wrong keys fail every caller who waits, and the next one tries anew", async (t) => {
  const [issuer, pay] = await setUp(t);
  issuer.before = () => refusal(400, 11004, "Invalid credentials, please check the provided secret key");
  const results = await Promise.allSettled([pay.currencies(), pay.currencies(), pay.transactions()]);
  assert.ok(results.every((r) => r.status === "rejected" && (r.reason as { code: number }).code === 11004));
  assert.deepEqual(issuer.paths(), [generate]);
  issuer.before = () => undefined;
  assert.deepEqual(await pay.currencies(), []);
});

test("one caller's signal ends its own wait, not the renewal of the others", async (t) => {
  const [issuer, pay] = await setUp(t);
  const impatient = new AbortController();
  issuer.before = async () => {
    impatient.abort();
    await new Promise((resolve) => setImmediate(resolve));
    return undefined;
  };
  const one = pay.currencies({ signal: impatient.signal });
  const other = pay.currencies();
  await assert.rejects(one, { code: "ABORTED" });
  assert.deepEqual(await other, []);
  assert.deepEqual(issuer.paths(), [generate, "/v1/currencies"]);
});

test("a token that tells its end is renewed before it", async (t) => {
  const [issuer, pay] = await setUp(t);
  const start = Date.parse("2026-01-01T00:00:00Z");
  let now = start;
  t.mock.method(Date, "now", () => now);
  // The server's clock is an hour ahead: with iat beside exp, only the length of the token's life counts.
  const seconds = start / 1000 + 3600;
  issuer.token = (n) => `h.${Buffer.from(JSON.stringify({ iat: seconds, exp: seconds + 900, n, "ü?>": "~" })).toString("base64url")}.s`;
  await pay.currencies();
  now = start + 839_000;
  await pay.currencies();
  assert.deepEqual(issuer.paths(), [generate, "/v1/currencies", "/v1/currencies"]);
  now = start + 840_000;
  await pay.currencies();
  assert.deepEqual(issuer.paths().slice(3), [refresh, "/v1/currencies"]);
});

test("a token is renewed before the end of the lifetime that the caller names", async (t) => {
  const issuer = new Issuer();
  issuer.server = await fake(t, issuer.answer);
  const pay = new KSPayServer({ baseUrl: issuer.server.url, appId, ...keys, accessTokenLifetimeMs: 60_000 });
  let now = 1_000_000;
  t.mock.method(Date, "now", () => now);
  await pay.currencies();
  now += 53_999;
  await pay.currencies();
  now += 1;
  await pay.currencies();
  assert.deepEqual(issuer.paths(), [generate, "/v1/currencies", "/v1/currencies", refresh, "/v1/currencies"]);
  assert.throws(() => new KSPayServer({ baseUrl: issuer.server.url, appId, ...keys, accessTokenLifetimeMs: 0 }), { code: "INVALID_ARGUMENT" });
});

test("a token whose end cannot be told, or has passed by this clock, is used until the server refuses it", async (t) => {
  const [issuer, pay] = await setUp(t);
  const past = Buffer.from('{"exp":1000000000}').toString("base64url");
  for (const token of ["opaque", "a.b.c", `h.${past}.s`, `h.${Buffer.from('{"exp":"soon"}').toString("base64url")}.s`]) {
    issuer.token = () => token;
    await pay.currencies().catch(() => undefined); // takes up the new token, if the old one is refused
    const before = issuer.server.seen.length;
    await pay.currencies();
    assert.equal(issuer.server.seen.length, before + 1, token);
  }
});

test("a checkout refused by 9009 was not made: it is initiated once more with a new token; by keys it needs none", async (t) => {
  const [issuer, pay] = await setUp(t);
  const request = { ...order, redirectUrl: "https://shop.example/paid" };
  await pay.currencies();
  issuer.end();
  assert.equal(await pay.initiateCheckout(request), "sig-of-checkout");
  const initiate = "/v1/transaction/initiate";
  assert.deepEqual(issuer.paths().slice(2), [initiate, refresh, generate, initiate]);
  assert.equal(await pay.initiateCheckout(request, { auth: "keys" }), "sig-of-checkout");
  const last = issuer.server.seen.at(-1)!;
  assert.equal(last.headers["secretkey"], keys.secretKey);
  assert.equal(last.headers.authorization, undefined);
});

test("initiate gets a signature of its own, and gives it back", async (t) => {
  const server = await fake(t, (seen) => (seen.path.includes("signature") ? ok("sig-1", 201) : ok({ pe_txnId: "tx_UOVynlQ0j", amount: 345.67 }, 201)));
  const pay = new KSPayServer({ baseUrl: server.url, appId, ...keys });
  const made = await pay.initiate(order);
  assert.deepEqual([made.signature, made.pe_txnId, made.amount], ["sig-1", "tx_UOVynlQ0j", "345.67"]);
  assert.deepEqual(server.seen.map((s) => s.path), [`/v1/auth/generate-signature/${appId}`, "/v1/transaction/initiate"]);
  assert.equal(server.seen[1]!.headers["x-signature"], "sig-1");
});

test("tokens of the caller's own are not the client's", async (t) => {
  const [issuer, pay] = await setUp(t);
  const own = await pay.generateToken();
  assert.deepEqual(await pay.refreshToken(own.refreshToken), { accessToken: "A2", refreshToken: "R2" });
  assert.equal(await pay.accessToken(), "A3");
  assert.equal(await pay.generateSignature(), "sig");
  assert.deepEqual(issuer.paths().slice(0, 3), [generate, refresh, generate]);
});

test("a page is no place for a secret key", (t) => {
  const page = globalThis as { window?: unknown };
  page.window = { document: {} };
  t.after(() => delete page.window);
  assert.throws(() => new KSPayServer({ baseUrl: "https://pay.example.com", appId, ...keys }), { code: "INVALID_ARGUMENT" });
});
