import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test, type TestContext } from "node:test";
import * as entry from "kspay-js/browser";
import { checkout, finishCheckout, KSPayBrowser, openWindow, parseRedirect } from "kspay-js/browser";
import { fake, keys, ok } from "./fake.js";

const page = "https://pay.example.com/checkout/abc";
const back = "?payment_status=success&kspay_id=tx_UOVynlQ0j&provider_payment_id=pay_9";
const result = { paymentStatus: "success", kspayId: "tx_UOVynlQ0j", providerPaymentId: "pay_9" };

/** As much of a window as checkout touches. */
class FakeWindow {
  closed = false;
  opener: unknown = "the page that opened it";
  went: string[] = [];
  opens: [string, string, string][] = [];
  blocks = false;
  popup: FakeWindow | undefined;
  location: { href: string; search: string; assign(url: string): void; replace(url: string): void };

  constructor(href = "https://shop.example/cart") {
    const go = (url: string): void => void this.went.push(url);
    this.location = { href, search: new URL(href).search, assign: go, replace: go };
  }

  open(url: string, target: string, features: string): FakeWindow | null {
    this.opens.push([url, target, features]);
    this.popup = new FakeWindow();
    return this.blocks ? null : this.popup;
  }

  close(): void {
    this.closed = true;
  }
}

function setWindow(t: TestContext, window: FakeWindow): FakeWindow {
  const platform = globalThis as { window?: unknown };
  platform.window = window;
  t.after(() => delete platform.window);
  return window;
}

test("redirect leaves for the order's page", async (t) => {
  const window = setWindow(t, new FakeWindow());
  assert.deepEqual(await checkout({ checkoutUrl: page }), { kind: "leaving" });
  assert.deepEqual(window.went, [page]);
});

test("only a safe address is opened", async (t) => {
  const window = setWindow(t, new FakeWindow());
  for (const checkoutUrl of ["javascript:alert(1)", "http://pay.example.com/checkout/abc", "/checkout/abc", "", undefined as unknown as string, "data:text/html,x"]) {
    await assert.rejects(checkout({ checkoutUrl }), { code: "INVALID_ARGUMENT" });
    await assert.rejects(checkout({ checkoutUrl }, { mode: "popup" }), { code: "INVALID_ARGUMENT" });
  }
  assert.deepEqual([window.went, window.opens], [[], []]);
});

test("a popup opens without a way back to this page, and its return is told by the page at redirectUrl", async (t) => {
  const shop = setWindow(t, new FakeWindow());
  const waiting = checkout({ checkoutUrl: page }, { mode: "popup", transactionId: "tx_UOVynlQ0j" });
  const popup = shop.popup!;
  assert.deepEqual(shop.opens, [["about:blank", "_blank", "popup,width=480,height=720"]]);
  assert.equal(popup.opener, null);
  assert.deepEqual(popup.went, [page]);
  assert.deepEqual(shop.went, []);

  setWindow(t, new FakeWindow(`https://shop.example/paid${back.replace("tx_UOVynlQ0j", "tx_another00")}`));
  finishCheckout(); // of another checkout: not the one that is waited for
  const paid = setWindow(t, new FakeWindow(`https://shop.example/paid${back}`));
  assert.deepEqual(finishCheckout(), result);
  assert.deepEqual(await waiting, { kind: "returned", redirect: result });
  assert.equal(popup.closed, true);
  while (!paid.closed) {
    await new Promise((resolve) => setImmediate(resolve)); // until the answer to its message comes
  }
});

test("a window that was opened at the click is used; one that the customer closes ends the wait", async (t) => {
  const shop = setWindow(t, new FakeWindow());
  const window = openWindow("tab");
  assert.deepEqual(shop.opens, [["about:blank", "_blank", ""]]);
  const waiting = checkout({ checkoutUrl: page }, { mode: "tab", window });
  assert.equal(shop.opens.length, 1);
  shop.popup!.close();
  assert.deepEqual(await waiting, { kind: "closed" });
});

test("a blocked window is told, and waiting can be aborted", async (t) => {
  const shop = setWindow(t, new FakeWindow());
  shop.blocks = true;
  await assert.rejects(checkout({ checkoutUrl: page }, { mode: "popup" }), { code: "POPUP_BLOCKED" });
  await assert.rejects(checkout({ checkoutUrl: page }, { mode: "popup", window: openWindow("popup") }), { code: "POPUP_BLOCKED" });
  shop.blocks = false;
  const stop = new AbortController();
  const waiting = checkout({ checkoutUrl: page }, { mode: "popup", signal: stop.signal });
  stop.abort();
  await assert.rejects(waiting, { code: "ABORTED" });
  assert.equal(shop.popup!.closed, false);
  await assert.rejects(checkout({ checkoutUrl: page }, { signal: stop.signal }), { code: "ABORTED" });
  assert.deepEqual(shop.went, []);
});

test("parseRedirect reads an address, and believes nothing of it", () => {
  assert.deepEqual(parseRedirect(`https://shop.example/paid${back}#top`), result);
  assert.deepEqual(parseRedirect(new URL(`https://shop.example/paid?order=7&${back.slice(1)}`)), result);
  assert.deepEqual(parseRedirect(back), result);
  assert.deepEqual(parseRedirect("payment_status=FAILED&kspay_id=tx_UOVynlQ0j"), { paymentStatus: "failed", kspayId: "tx_UOVynlQ0j", providerPaymentId: null });
  for (const other of ["", "https://shop.example/", "?kspay_id=tx_UOVynlQ0j", "?payment_status=success", "?payment_status=success&kspay_id=tx_1", "?payment_status=<b>&kspay_id=tx_UOVynlQ0j", "https://shop.example/#?payment_status=success&kspay_id=tx_UOVynlQ0j"]) {
    assert.equal(parseRedirect(other), null, other);
  }
  assert.equal(parseRedirect(`${back}%0d%0a`)?.providerPaymentId, null);
});

test("a page never gives a key, and processes by the signature alone", async (t) => {
  const server = await fake(t, (seen) => ok(seen.path.includes("hash") ? "h" : { gateway: "cashfree", checkoutUrl: page }, 201));
  assert.throws(() => new KSPayBrowser({ baseUrl: server.url, ...keys } as { baseUrl: string }), { code: "INVALID_ARGUMENT" });
  const pay = new KSPayBrowser({ baseUrl: server.url });
  assert.equal((await pay.process("sig")).checkoutUrl, page);
  assert.equal(await pay.payuHash("tx_1", { hashName: "a", hashString: "b" }), "h");
  assert.equal(server.seen[0]!.headers["x-signature"], "sig");
  assert.ok(server.seen.every((s) => s.headers.authorization === undefined));
});

test("the browser's modules load as they are: relative imports, nothing of Node, no call that takes a key", () => {
  const open = [new URL("browser.js", new URL(import.meta.resolve("kspay-js/browser")))];
  const seen = new Set<string>();
  for (let module = open.pop(); module !== undefined; module = open.pop()) {
    if (seen.has(module.href)) {
      continue;
    }
    seen.add(module.href);
    const code = readFileSync(fileURLToPath(module), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
    for (const [, specifier] of code.matchAll(/(?:from|import)\s*\(?\s*["']([^"']+)["']/g)) {
      assert.match(specifier!, /^\.\/[a-z]+\.js$/, `${module.href} imports ${specifier}`);
      open.push(new URL(specifier!, module));
    }
    assert.doesNotMatch(code, /\b(?:require|process\.|Buffer|__dirname|globalThis\.process|node:)/, module.href);
    assert.doesNotMatch(code, /generate-token|generate-signature|refresh-token|Bearer/, module.href);
  }
  const names = [...seen].map((href) => href.slice(href.lastIndexOf("/") + 1)).sort();
  assert.deepEqual(names, ["browser.js", "checkout.js", "errors.js", "exact.js", "orders.js", "redirect.js", "transport.js"]);
  assert.deepEqual(Object.keys(entry).sort(), ["KSPayBrowser", "KSPayError", "KSPayNetworkError", "KSPayTimeoutError", "checkout", "finishCheckout", "openWindow", "parseRedirect"]);
});
