// Razorpay's official client against the sandbox's Razorpay face. Arguments: the face's base URL. It opens an account there, is the merchant's
// server of the webhooks itself, and plays the customer on the hosted page. It ends with status 0 when every check holds, and prints what it has seen.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import Razorpay from 'razorpay';
import utils from 'razorpay/dist/utils/razorpay-utils.js';

const base = process.argv[2];
const { validatePaymentVerification } = utils;

// The merchant's server: keeps the raw bytes of what comes.
const webhooks = [];
const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    webhooks.push({ raw: Buffer.concat(chunks), headers: request.headers });
    response.end();
    server.emit('webhook');
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');

async function webhook(event, ofPayment) {
  for (;;) {
    const found = webhooks.find((w) => {
      const body = JSON.parse(w.raw);
      return body.event === event && body.payload.payment.entity.id === ofPayment;
    });
    if (found) return found;
    await once(server, 'webhook', { signal: AbortSignal.timeout(30_000) });
  }
}

const post = (url, body, type) => fetch(url, { method: 'POST', body, headers: { 'Content-Type': type }, redirect: 'manual' });
const json = async (url, body) => (await post(url, JSON.stringify(body), 'application/json')).json();
const form = async (url, body) => (await post(url, new URLSearchParams(body), 'application/x-www-form-urlencoded')).text();

const account = (more) => json(`${base}/accounts`, { webhook_url: `http://127.0.0.1:${server.address().port}/hook`, ...more });
const { key_id, key_secret, webhook_secret } = await account({ capture: 'manual' });

const client = new Razorpay({ key_id, key_secret });
client.api.rq.defaults.baseURL = base; // the client has no option for it

// What a browser does with the forms of a page.
const text = (s) => s.replaceAll('&#34;', '"').replaceAll('&#43;', '+').replaceAll('&amp;', '&');
async function pay(order, more = {}) {
  const page = await form(`${base}/v1/checkout/embedded`, {
    key_id, order_id: order.id, name: 'Shop', 'prefill[contact]': '9999999999', callback_url: 'https://shop.example/back', ...more.open,
  });
  const action = /<form method="post" action="([^"]+)"/.exec(page)[1];
  const back = await form(new URL(action, base), {
    method: 'card', card_number: '4111 1111 1111 1111', card_expiry: '12/49', card_cvv: '123', action: 'pay', ...more.typed,
  });
  assert.equal(/<form method="post" action="([^"]+)"/.exec(back)[1], 'https://shop.example/back');
  return Object.fromEntries([...back.matchAll(/name="([^"]+)" value="([^"]*)"/g)].map(([, name, value]) => [text(name), text(value)]));
}

// Orders.
const order = await client.orders.create({ amount: 50000, currency: 'INR', receipt: 'tx_client01', notes: { payin: 'tx_client01' } });
assert.match(order.id, /^order_[0-9A-Za-z]{14}$/);
assert.deepEqual({ ...order, id: '', created_at: 0 }, {
  id: '', entity: 'order', amount: 50000, amount_paid: 0, amount_due: 50000, currency: 'INR', receipt: 'tx_client01', offer_id: null, status: 'created',
  attempts: 0, notes: { payin: 'tx_client01' }, created_at: 0,
});
assert.deepEqual(await client.orders.fetch(order.id), order);
const another = await client.orders.create({ amount: 700, currency: 'USD' });
assert.deepEqual((await client.orders.all()).items, [another, order]);
assert.deepEqual((await client.orders.all({ receipt: 'tx_client01' })).items, [order]);
assert.deepEqual((await client.orders.all({ count: 1, skip: 1 })).items, [order]);
assert.deepEqual((await client.orders.all({ from: order.created_at + 1000 })).items, []);
assert.equal((await client.orders.fetchPayments(order.id)).count, 0);
assert.deepEqual((await client.orders.edit(another.id, { notes: { a: 'b' } })).notes, { a: 'b' });

// Refusals come as the client's errors.
const refused = (promise, statusCode, description) => assert.rejects(promise, (e) => {
  assert.equal(e.statusCode, statusCode);
  assert.equal(e.error.code, 'BAD_REQUEST_ERROR');
  assert.match(e.error.description, description);
  return true;
});
await refused(client.orders.create({ amount: 0 }), 400, /amount must be at least 1/);
await refused(client.orders.create({ amount: '1.5' }), 400, /must be an integer/);
await refused(client.orders.fetch('order_00000000000000'), 400, /does not exist/);
const stranger = new Razorpay({ key_id, key_secret: 'wrong' });
stranger.api.rq.defaults.baseURL = base;
await refused(stranger.orders.all(), 401, /Authentication failed/);

// A customer pays; the signature that comes back is for this order and payment alone.
const back = await pay(order);
const { razorpay_payment_id: paymentID, razorpay_signature: signature } = back;
const verify = (ids, sig = signature, secret = key_secret) => validatePaymentVerification(ids, sig, secret);
assert.equal(verify({ order_id: order.id, payment_id: paymentID }), true);
assert.equal(verify({ order_id: another.id, payment_id: paymentID }), false);
assert.equal(verify({ order_id: order.id, payment_id: 'pay_00000000000000' }), false);
assert.equal(verify({ order_id: order.id, payment_id: paymentID }, signature.replace(/./, (c) => (c === '0' ? '1' : '0'))), false);
assert.equal(verify({ order_id: order.id, payment_id: paymentID }, signature, 'wrong'), false);

// It is authorized, then captured once, for its amount alone.
let payment = await client.payments.fetch(paymentID);
assert.equal(payment.status, 'authorized');
assert.equal((await client.orders.fetch(order.id)).status, 'attempted');
await refused(client.payments.capture(paymentID, 49999, 'INR'), 400, /equal to the amount authorized/);
payment = await client.payments.capture(paymentID, 50000, 'INR');
assert.deepEqual([payment.status, payment.captured, payment.fee, payment.tax, payment.method, payment.card.last4], ['captured', true, 1180, 180, 'card', '1111']);
await refused(client.payments.capture(paymentID, 50000, 'INR'), 400, /already been captured/);
assert.deepEqual((await client.orders.fetchPayments(order.id)).items, [payment]);
assert.deepEqual((await client.payments.all()).items, [payment]);
const paid = await client.orders.fetch(order.id);
assert.deepEqual([paid.status, paid.amount_paid, paid.amount_due, paid.attempts], ['paid', 50000, 0, 1]);

// Refunds never go above what was captured.
const refund = await client.payments.refund(paymentID, { amount: 20000, receipt: 'rfd_1', notes: { why: 'returned' } });
assert.equal(refund.payment_id, paymentID);
await refused(client.payments.refund(paymentID, { amount: 30001 }), 400, /greater than/);
assert.equal((await client.payments.fetch(paymentID)).refund_status, 'partial');
const rest = await client.payments.refund(paymentID, { speed: 'optimum' });
assert.deepEqual([rest.amount, rest.status], [30000, 'processed']);
await refused(client.payments.refund(paymentID, {}), 400, /fully refunded already/);
assert.equal((await client.payments.fetch(paymentID)).status, 'refunded');
assert.deepEqual((await client.payments.fetchMultipleRefund(paymentID)).items.map((r) => r.id), [rest.id, refund.id]);
assert.deepEqual(await client.payments.fetchRefund(paymentID, rest.id), rest);
assert.deepEqual(await client.refunds.fetch(rest.id), rest);
assert.equal((await client.refunds.all()).count, 2);

// Webhooks are signed over their bytes.
for (const event of ['payment.authorized', 'payment.captured', 'order.paid', 'refund.created', 'refund.processed']) {
  const { raw, headers } = await webhook(event, paymentID);
  const sig = headers['x-razorpay-signature'];
  assert.ok(headers['x-razorpay-event-id']);
  assert.equal(Razorpay.validateWebhookSignature(raw, sig, webhook_secret), true, event);
  assert.equal(Razorpay.validateWebhookSignature(raw.toString().replace('50000', '50001'), sig, webhook_secret), false, event);
  assert.equal(Razorpay.validateWebhookSignature(raw, sig, key_secret), false, event);
}
assert.equal(new Set(webhooks.map((w) => w.headers['x-razorpay-event-id'])).size, webhooks.length);

// Captured by itself, and declined.
await account({ key_id, key_secret, capture: 'auto' });
const auto = await client.orders.create({ amount: 100, currency: 'INR' });
const { razorpay_payment_id: second } = await pay(auto);
assert.equal((await client.payments.fetch(second)).status, 'captured');
const unlucky = await client.orders.create({ amount: 100, currency: 'INR' });
const failed = await pay(unlucky, { typed: { action: 'decline' } });
assert.equal(failed['error[code]'], 'BAD_REQUEST_ERROR');
const { payment_id, order_id } = JSON.parse(failed['error[metadata]']);
assert.equal(order_id, unlucky.id);
assert.equal((await client.payments.fetch(payment_id)).status, 'failed');
await webhook('payment.failed', payment_id);

// A UPI link.
const upi = await client.payments.createUpi({
  amount: 100, currency: 'INR', order_id: unlucky.id, email: 'a@example.com', contact: '9999999999', method: 'upi', upi: { flow: 'intent' },
});
assert.match(upi.link, /^upi:\/\/pay\?/);
const app = await json(new URL('/sandbox/upi/pay', base), { intent_url: upi.link, outcome: 'success' });
assert.equal(app.payment_id, upi.razorpay_payment_id);
assert.equal((await client.payments.fetch(upi.razorpay_payment_id)).status, 'captured');
assert.equal((await client.orders.fetch(unlucky.id)).status, 'paid');

server.closeAllConnections();
server.close();
console.log(JSON.stringify({ version: Razorpay.VERSION, key_id, orders: 4, collected: 50200, refunded: 50000, webhooks: webhooks.length }));
