// What `npm pack` makes is what people get: it is packed, installed and used here.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";

const root = dirname(fileURLToPath(import.meta.resolve("kspay-js/package.json")));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
let work = "";
let app = "";
let packed: { filename: string; files: { path: string }[] };

function run(program: string, args: string[], cwd: string): string {
  try {
    return execFileSync(program, args, { cwd, encoding: "utf8", stdio: "pipe", timeout: 120_000 });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${program} ${args.join(" ")}\n${stdout}\n${stderr}`, { cause: error });
  }
}

before(() => {
  work = mkdtempSync(join(tmpdir(), "kspay-js-"));
  // A copy without dist: packing has to build it. The build reads nothing but what is copied.
  const copy = join(work, "copy");
  mkdirSync(copy);
  for (const name of ["src", "test", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.test.json", "README.md", "LICENSE", ".gitignore", ".npmrc"]) {
    cpSync(join(root, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  const told = run("npm", ["pack", "--json", "--loglevel=error", "--pack-destination", work], copy);
  packed = (JSON.parse(told.slice(told.indexOf("[\n"))) as [typeof packed])[0];

  app = join(work, "app");
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), '{"name":"app","private":true,"type":"module"}');
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", join(work, packed.filename)], app);
});

after(() => rmSync(work, { recursive: true, force: true }));

test("the packed files are the built modules, their types, the readme and the licence", () => {
  const modules = ["browser", "checkout", "client", "errors", "exact", "index", "orders", "redirect", "server", "tokens", "transport", "types"];
  const wanted = ["LICENSE", "README.md", "package.json", ...modules.flatMap((m) => [`dist/${m}.d.ts`, `dist/${m}.js`])];
  assert.deepEqual(packed.files.map((f) => f.path).sort(), wanted.sort());
});

test("the package says what it is, and needs nothing at run time", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;
  assert.equal(manifest["license"], "Apache-2.0");
  assert.equal(manifest["sideEffects"], false);
  for (const absent of ["private", "dependencies", "peerDependencies", "optionalDependencies", "bundleDependencies"]) {
    assert.equal(manifest[absent], undefined, absent);
  }
  assert.match(readFileSync(join(root, "LICENSE"), "utf8"), /Apache License\s+Version 2\.0/);
  assert.doesNotMatch(readFileSync(join(root, "package-lock.json"), "utf8"), /"resolved"|https?:/, "a lock file that names a registry's host");
});

test("Node imports what was installed in an empty folder, and requires it where it can require modules", () => {
  assert.ok(!existsSync(join(app, "node_modules", "typescript")));
  const names = run("node", ["-e", 'import("kspay-js").then((m) => import("kspay-js/browser").then((b) => console.log(Object.keys(m).join(), Object.keys(b).join())))'], app);
  assert.equal(
    names.trim(),
    "KSPayClient,KSPayError,KSPayNetworkError,KSPayServer,KSPayTimeoutError,parseRedirect KSPayBrowser,KSPayError,KSPayNetworkError,KSPayTimeoutError,checkout,finishCheckout,openWindow,parseRedirect",
  );
  writeFileSync(join(app, "required.cjs"), 'const { KSPayServer } = require("kspay-js"); console.log(typeof KSPayServer);');
  if ((process.features as { require_module?: boolean }).require_module === true) {
    assert.equal(run("node", ["--no-warnings", "required.cjs"], app).trim(), "function");
  } else {
    assert.throws(() => run("node", ["required.cjs"], app), /ERR_REQUIRE_ESM/);
  }
});

/** Type-checks files of the app, as strictly as it goes, against the installed package, and returns the errors of each. */
function check(files: Record<string, string>, lib: string[], types: string[]): Record<string, string> {
  const folder = mkdtempSync(join(app, "check-"));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text);
  }
  const compilerOptions = {
    module: "nodenext", target: "es2022", strict: true, exactOptionalPropertyTypes: true, noEmit: true, checkJs: true, allowJs: true,
    skipLibCheck: false, lib, types, typeRoots: [join(root, "node_modules", "@types")],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*"] }));
  const told = spawnSync("node", [tsc, "-p", folder, "--pretty", "false"], { cwd: folder, encoding: "utf8", timeout: 120_000 });
  const errors: Record<string, string> = {};
  for (const line of told.stdout.split("\n").filter((l) => l.includes("error TS"))) {
    errors[line.slice(0, Math.max(0, line.indexOf("(")))] ??= line;
  }
  assert.equal(told.status === 0, Object.keys(errors).length === 0, told.stdout + told.stderr);
  return errors;
}

test("a strict TypeScript program of Node, without the browser's types, type-checks against it; wrong ones do not", () => {
  const right = `
    import { KSPayServer, KSPayError, type Transaction, type Order } from "kspay-js";
    const pay = new KSPayServer({ baseUrl: "https://pay.example.com/v1", appId: "ap_rtk2WdyQR", accessKey: "a", secretKey: "s", fetch });
    const order: Order = await pay.process("sig", { signal: AbortSignal.timeout(1000), timeoutMs: undefined });
    if (order.gateway === "payu") { const key: string = order.details.initiateTransaction.key; console.log(key); }
    if (order.gateway === "razorpay") { const id: string = order.providerOrderId; console.log(id); }
    const one: Transaction = await pay.transactionById("tx_UOVynlQ0j");
    const amount: string = one.amount;
    try { await pay.initiate({ currencyId: "c", paymentMethodId: "p", amount, referenceNumber: "r" }); }
    catch (e) { if (e instanceof KSPayError && e.code === 9009) console.log(e.requestId?.length); }
  `;
  const use = 'import { KSPayServer } from "kspay-js"; declare const p: KSPayServer;';
  const errors = check(
    {
      "right.ts": right,
      "no-secret.ts": `${use} new KSPayServer({ baseUrl: "", appId: "", accessKey: "" });`,
      "no-amount.ts": `${use} await p.initiate({ currencyId: "c", paymentMethodId: "p", referenceNumber: "r" });`,
      "amount-as-number.ts": `${use} const n: number = (await p.transactionById("t")).amount;`,
      "inner-module.ts": 'import { TokenSource } from "kspay-js/dist/tokens.js"; export { TokenSource };',
    },
    ["es2022"],
    ["node"],
  );
  assert.deepEqual(Object.keys(errors).sort(), ["amount-as-number.ts", "inner-module.ts", "no-amount.ts", "no-secret.ts"], JSON.stringify(errors));
});

test("a page's program, without Node's types, type-checks against the browser's entry", () => {
  const right = `
    import { checkout, KSPayBrowser, parseRedirect, type CheckoutOutcome } from "kspay-js/browser";
    const outcome: CheckoutOutcome = await checkout({ checkoutUrl: "https://pay.example.com/checkout/x" }, { mode: "popup", window: window.open("") });
    if (outcome.kind === "returned") console.log(outcome.redirect.kspayId);
    console.log(parseRedirect(location.href)?.paymentStatus, new KSPayBrowser({ baseUrl: "https://pay.example.com" }));
  `;
  const errors = check(
    { "right.ts": right, "server-in-page.ts": 'import { KSPayServer } from "kspay-js/browser"; export { KSPayServer };' },
    ["es2022", "dom"],
    [],
  );
  assert.deepEqual(Object.keys(errors), ["server-in-page.ts"], JSON.stringify(errors));
});

test("the readme's programs type-check", () => {
  const blocks = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```js\n([\s\S]*?)^```$/gm)].map((m) => m[1]!);
  assert.ok(blocks.length >= 5, "the readme has no programs: this test looks in the wrong place");
  const env = "declare namespace NodeJS { interface ProcessEnv { KSPAY_URL: string; KSPAY_APP: string; KSPAY_ACCESS_KEY: string; KSPAY_SECRET_KEY: string } }";
  const files = Object.fromEntries(blocks.map((block, i) => [`block${i}.js`, block]));
  assert.deepEqual(check({ "env.d.ts": env, ...files }, ["es2022", "dom"], ["node"]), {});
});
