// A server that answers as a test tells it to, and keeps what it was sent.

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";

export interface Seen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  /** Sent as it is; anything but a string as JSON. */
  body?: unknown;
}

/** What to do with a request: answer it, never answer it, break the connection off, or break it off in the middle of the answer. */
export type Reply = Answer | "silent" | "drop" | "half";

export interface Fake {
  url: string;
  seen: Seen[];
}

export const ok = (result: unknown, status = 200, more: object = {}): Answer => ({ status, body: { status, message: "success", result, ...more } });

export const refusal = (status: number, code: number, message = "No."): Answer => ({ status, body: { status, code, message, result: null } });

/** Starts a server for one test. `answer` gets each request, and how many of its path came before it. */
export async function fake(t: TestContext, answer: (seen: Seen, before: number) => Reply | Promise<Reply>): Promise<Fake> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    void take(request).then(async (body) => {
      const now: Seen = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body };
      const before = seen.filter((s) => s.path === now.path).length;
      seen.push(now);
      give(response, await answer(now, before));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, seen };
}

async function take(request: IncomingMessage): Promise<string> {
  request.setEncoding("utf8");
  let body = "";
  for await (const chunk of request) {
    body += String(chunk);
  }
  return body;
}

function give(response: ServerResponse, reply: Reply): void {
  if (reply === "silent") {
    return;
  }
  if (reply === "drop") {
    response.destroy();
    return;
  }
  if (reply === "half") {
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "1000" });
    response.write('{"status":200,', () => response.destroy());
    return;
  }
  response.writeHead(reply.status ?? 200, { "Content-Type": "application/json", "X-Request-Id": "req-7", ...reply.headers });
  response.end(typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body ?? null));
}

export const appId = "ap_rtk2WdyQR";
export const keys = { accessKey: `kspay_test_${"a1".repeat(12)}`, secretKey: "5e".repeat(32) };
export const order = { currencyId: "c_JdzYuwqF6O", paymentMethodId: "pm_5LR93Agwv", amount: "345.67", referenceNumber: "ORDER-1" };
