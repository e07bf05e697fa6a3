// Amounts go out and come in exactly as they are written: nothing here computes with them.

import { invalid } from "./errors.js";

/**
 * An amount of money in the currency's major unit.
 *
 * A string such as `"345.60"` is sent exactly, digit for digit, as a JSON number. A number such as `345.6` is sent as JavaScript prints it, so
 * `0.1 + 0.2` is sent as `0.30000000000000004`, which the server refuses (-19): nothing is rounded for you. Prefer strings.
 */
export type Amount = string | number;

const plain = /^(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,18})?$/;

/** The JSON number that an amount is sent as. Throws `INVALID_ARGUMENT` for anything that is not a plain positive decimal. */
export function exactAmount(amount: Amount): string {
  const text = typeof amount === "number" ? String(amount) : amount;
  if (typeof text !== "string" || !plain.test(text)) {
    throw invalid('amount is not a plain decimal such as "345.67": no sign, exponent, separators or leading zeros');
  }
  if (typeof amount === "number" && amount > Number.MAX_SAFE_INTEGER) {
    throw invalid("amount is too great for a number: pass it as a string");
  }
  if (!/[1-9]/.test(text)) {
    throw invalid("amount is not greater than zero");
  }
  return text;
}

/** JSON of an object whose `amount` is written digit for digit. Fields that are undefined are left out. */
export function encode(body: Readonly<Record<string, string | undefined>>, amount?: Amount): string {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(body)) {
    if (value !== undefined) {
      fields.push(`${JSON.stringify(name)}:${JSON.stringify(value)}`);
    }
  }
  if (amount !== undefined) {
    fields.push(`"amount":${exactAmount(amount)}`);
  }
  return `{${fields.join(",")}}`;
}

// Either a field "amount" with a number, or any string: strings are taken whole, so that nothing inside one is mistaken for a field.
const amounts =
  /("amount"\s*:\s*)(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?=\s*[,}])|"[^"\\]*(?:\\[\s\S][^"\\]*)*"/g;

/** Reads JSON, with every number in a field `amount` as the string of its digits. Throws SyntaxError. */
export function decode(text: string): unknown {
  const exact = text.replace(amounts, (whole, name?: string, digits?: string) =>
    name === undefined || digits === undefined ? whole : `${name}"${digits}"`,
  );
  return JSON.parse(exact);
}
