// What the tests against a real server have in common.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { KSPayError, type Currency, type Keys, type KSPayServer, type PaymentMethod } from "kspay-js";

/** The server and the app, of the environment. */
export function settings(): { baseUrl: string; appId: string; keys: Keys } {
  return {
    baseUrl: setting("KSPAY_URL"),
    appId: setting("KSPAY_APP"),
    keys: { accessKey: setting("KSPAY_ACCESS_KEY"), secretKey: setting("KSPAY_SECRET_KEY") },
  };
}

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") {
    throw new Error(`${name} is not set: see the head of test/e2e/run.ts`);
  }
  return value;
}

/** A reference number that nobody has used. */
export const reference = (): string => `SDK-${randomBytes(8).toString("hex")}`;

/** Rupees, and a method that they can be paid by. */
export async function rupees(pay: KSPayServer): Promise<[Currency, PaymentMethod]> {
  const inr = (await pay.currencies()).find((c) => c.code === "INR");
  assert.ok(inr !== undefined, "the app takes no rupees");
  const method = (await pay.paymentMethods(inr.id)).find((m) => m.isActive);
  assert.ok(method !== undefined, "the app has no method for rupees");
  return [inr, method];
}

/** The code and the status that a call is refused with. */
export async function refusal(call: Promise<unknown>): Promise<[number | string, number]> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof KSPayError, String(error));
    assert.equal(error.outcomeUnknown, false, String(error));
    assert.notEqual(error.message, "");
    return [error.code, error.httpStatus];
  }
  throw new assert.AssertionError({ message: "the call was not refused" });
}
