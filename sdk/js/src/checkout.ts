import { invalid, KSPayError } from "./errors.js";
import { parseRedirect, type RedirectResult } from "./redirect.js";
import { isSecure } from "./transport.js";

/**
 * Where the checkout page opens. There is no frame: banks' pages refuse to be framed, and customers cannot see where they type.
 *
 * - `redirect`: in this tab. The customer comes back to your `redirectUrl`.
 * - `popup`: in a small window beside this page.
 * - `tab`: in a new tab.
 */
export type CheckoutMode = "redirect" | "popup" | "tab";

/** How to open the checkout page. */
export interface OpenOptions {
  /** `redirect` by default. */
  mode?: CheckoutMode | undefined;
  /** The window that {@link openWindow} opened at the click; without it one is opened now. Not for `redirect`. */
  window?: Window | null | undefined;
  /** `tx_...`: with two checkouts open at a time, only the return of this one counts. */
  transactionId?: string | undefined;
  /** Stops waiting (code `ABORTED`); the window stays open. */
  signal?: AbortSignal | undefined;
}

/**
 * How the checkout went on, as far as this page can tell. None of these is a proof of payment: let your server ask `transactionById`.
 *
 * - `leaving`: this tab is on its way to the checkout page.
 * - `returned`: the window came to your `redirectUrl`, which called {@link finishCheckout}.
 * - `closed`: the window was closed, or has gone where it cannot be seen from here. The customer may have paid, or may still be paying.
 */
export type CheckoutOutcome = { kind: "leaving" } | { kind: "returned"; redirect: RedirectResult } | { kind: "closed" };

const channelName = "kspay-js";
const watchMs = 400;
/** How long a return is waited for after its window has closed. */
const lastWordMs = 1_000;

/**
 * Opens an order's checkout page.
 *
 * A browser opens windows at a click only. Where the order is still to be fetched then, open the window first:
 *
 * ```ts
 * button.onclick = async () => {
 *   const window = openWindow("popup");
 *   const order = await fetch("/orders/7/pay", { method: "POST" }).then((r) => r.json());
 *   const outcome = await checkout(order, { mode: "popup", window });
 *   // whatever the outcome: ask your server
 * };
 * ```
 *
 * @param order - what `process` gave
 * @throws KSPayError `INVALID_ARGUMENT` (no checkoutUrl), `POPUP_BLOCKED`, `ABORTED`
 */
export async function checkout(order: { checkoutUrl: string }, options: OpenOptions = {}): Promise<CheckoutOutcome> {
  const url = pageOf(order);
  if (options.signal?.aborted) {
    throw new KSPayError("the checkout was aborted before it was opened", { code: "ABORTED", cause: options.signal.reason });
  }
  const mode = options.mode ?? "redirect";
  if (mode === "redirect") {
    window.location.assign(url);
    return { kind: "leaving" };
  }
  const opened = options.window === undefined ? openWindow(mode) : options.window;
  if (opened === null) {
    throw new KSPayError("the browser did not open a window: open it at the click, or use the mode redirect", { code: "POPUP_BLOCKED" });
  }
  const outcome = outcomeOf(opened, options);
  opened.location.replace(url);
  return outcome;
}

/** Opens an empty window for {@link checkout}; null when the browser does not. Call it in the click's handler, before anything is awaited. */
export function openWindow(mode: Exclude<CheckoutMode, "redirect">): Window | null {
  const opened = window.open("about:blank", "_blank", mode === "popup" ? "popup,width=480,height=720" : "");
  if (opened !== null) {
    opened.opener = null; // the pages to come cannot steer this one
  }
  return opened;
}

/**
 * Call this in the page at your `redirectUrl`. In a window that {@link checkout} opened from a page of the same origin, it tells that page, which
 * closes the window. Otherwise it only reads the address.
 *
 * @returns what {@link parseRedirect} reads: no proof of payment; null when this is not a return from the checkout
 */
export function finishCheckout(): RedirectResult | null {
  const result = parseRedirect(window.location.href);
  if (result === null || typeof BroadcastChannel === "undefined") {
    return result;
  }
  const channel = new BroadcastChannel(channelName);
  channel.onmessage = (event: MessageEvent<unknown>) => {
    if (event.data === `taken ${result.kspayId}`) {
      channel.close();
      window.close();
    }
  };
  channel.postMessage(`returned ${window.location.search}`);
  setTimeout(() => channel.close(), lastWordMs);
  return result;
}

function outcomeOf(opened: Window, options: OpenOptions): Promise<CheckoutOutcome> {
  const { signal, transactionId } = options;
  return new Promise((resolve, reject) => {
    const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(channelName);
    let lastWord: ReturnType<typeof setTimeout> | undefined;
    const stop = (): void => {
      clearInterval(watch);
      clearTimeout(lastWord);
      signal?.removeEventListener("abort", onAbort);
      channel?.close();
    };
    const onAbort = (): void => {
      stop();
      reject(new KSPayError("waiting for the checkout was aborted", { code: "ABORTED", cause: signal?.reason }));
    };
    const watch = setInterval(() => {
      if (opened.closed && lastWord === undefined) {
        lastWord = setTimeout(() => {
          stop();
          resolve({ kind: "closed" });
        }, lastWordMs);
      }
    }, watchMs);
    if (channel !== undefined) {
      channel.onmessage = (event: MessageEvent<unknown>) => {
        const redirect = returnOf(event.data);
        if (redirect !== null && (transactionId === undefined || transactionId === redirect.kspayId)) {
          channel.postMessage(`taken ${redirect.kspayId}`);
          stop();
          opened.close();
          resolve({ kind: "returned", redirect });
        }
      };
    }
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function returnOf(message: unknown): RedirectResult | null {
  const query = typeof message === "string" && message.startsWith("returned ?") ? message.slice("returned ".length) : null;
  return query === null ? null : parseRedirect(query);
}

function pageOf(order: { checkoutUrl: string }): string {
  let url: URL | undefined;
  try {
    url = new URL(order.checkoutUrl);
  } catch {
    url = undefined;
  }
  if (url === undefined || !isSecure(url)) {
    throw invalid("the order has no checkoutUrl that is safe to open: https, or this machine");
  }
  return url.href;
}
