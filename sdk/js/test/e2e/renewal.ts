// The package against a real server whose access tokens live for seconds: as run.ts, and KSPAY_TOKEN_LIFE_MS says for how many milliseconds.

import assert from "node:assert/strict";
import { test } from "node:test";
import { KSPayClient, KSPayError, KSPayServer } from "kspay-js";
import { settings } from "./world.js";

const { baseUrl, appId, keys } = settings();
const lifeMs = Number(process.env["KSPAY_TOKEN_LIFE_MS"]);
const plain = new KSPayClient({ baseUrl });

/** Counts what is asked of the server, by the last words of its path. */
function counting(): [typeof fetch, Map<string, number>] {
  const counts = new Map<string, number>();
  const counted: typeof fetch = (input, init) => {
    const [, call] = /(generate-token|refresh-token|currencies)/.exec(String(input)) ?? [];
    counts.set(call ?? "other", (counts.get(call ?? "other") ?? 0) + 1);
    return fetch(input, init);
  };
  return [counted, counts];
}

/** Waits until the server refuses a token. */
async function end(token: string): Promise<void> {
  const bound = Date.now() + lifeMs + 30_000;
  for (;;) {
    try {
      await plain.currencies(token);
    } catch (error) {
      assert.ok(error instanceof KSPayError && error.code === 9009 && error.httpStatus === 401, String(error));
      return;
    }
    assert.ok(Date.now() < bound, "the token does not end");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("when the token ends, any number of calls go on after one refresh", async () => {
  const [counted, counts] = counting();
  const pay = new KSPayServer({ baseUrl, appId, ...keys, fetch: counted });
  await end(await pay.accessToken());
  const lists = await Promise.all(Array.from({ length: 8 }, () => pay.currencies()));
  assert.ok(lists.every((list) => list.length > 0));
  assert.equal(counts.get("generate-token"), 1);
  assert.equal(counts.get("refresh-token"), 1);
});

test("a refresh token that somebody else has spent is answered by a new token", async () => {
  let stolen = "";
  const watching: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (String(input).includes("/auth/generate-token/") && stolen === "") {
      const answer = (await response.clone().json()) as { result: { refreshToken: string } };
      stolen = answer.result.refreshToken;
    }
    return response;
  };
  const pay = new KSPayServer({ baseUrl, appId, ...keys, fetch: watching });
  const token = await pay.accessToken();
  await plain.refreshToken(stolen, keys);
  await end(token);
  assert.ok((await pay.currencies()).length > 0);
});

test("a client that is told how long tokens live renews before the server refuses", async () => {
  const [counted, counts] = counting();
  const pay = new KSPayServer({ baseUrl, appId, ...keys, fetch: counted, accessTokenLifetimeMs: 1 });
  await pay.currencies();
  await pay.currencies();
  assert.equal(counts.get("currencies"), 2, "no call was refused");
  assert.ok(counts.get("refresh-token")! >= 1);
});
