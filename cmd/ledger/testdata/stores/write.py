#!/usr/bin/env python3
"""Writes a store with every kind of record that a version of the program can make: see README.md.

    write.py BINARY NAME             testdata/stores/NAME.sqlite.tar.gz
    write.py BINARY NAME URL         testdata/stores/NAME.postgres.tar.gz; URL is an empty database's
"""
import atexit, gzip, html, io, json, os, re, signal, socket, sqlite3, subprocess, sys, tarfile, tempfile, time
import urllib.error, urllib.parse, urllib.request

binary, name = os.path.abspath(sys.argv[1]), sys.argv[2]
url = sys.argv[3] if len(sys.argv) > 3 else None
here = os.path.dirname(os.path.abspath(__file__))
work = tempfile.mkdtemp()
os.chdir(work)
db = url or "sqlite:ledger.db"
if url:
    open("master.key", "w").write("5f" * 32)
    os.chmod("master.key", 0o600)
commands = subprocess.run([binary, "--help"], capture_output=True, text=True).stdout
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    listen = "127.0.0.1:%d" % s.getsockname()[1]
base = "http://" + listen


def knows(command):
    return re.search(r"^  " + command + r"\b", commands, re.M) is not None


def ledger(*args, client=None):
    flags = ["--url", base, "--api-key", client] if client else ["--db", db, "--master-key-file", "master.key"]
    if args[0] == "app":
        flags += ["--public-url", base, "--sandbox"]
    got = subprocess.run([binary, *args, *flags], capture_output=True, text=True)
    if got.returncode:
        sys.exit("ledger %s: exit %d: %s%s" % (" ".join(args), got.returncode, got.stdout, got.stderr))
    try:
        return json.loads(got.stdout)
    except ValueError:
        return got.stdout


class Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


opener = urllib.request.build_opener(Still)


def send(method, path, body=None, **headers):
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    data = body
    if isinstance(body, (dict, list)):
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    elif isinstance(body, str):
        data = body.encode()
    request = urllib.request.Request(path if path.startswith("http") else base + path, data, headers, method=method)
    try:
        with opener.open(request, timeout=30) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def call(method, path, body=None, **headers):
    status, text = send(method, path, body, **headers)
    if status >= 300:
        sys.exit("%s %s: %d %s" % (method, path, status, text))
    return json.loads(text)


def until(what, holds):
    for _ in range(400):
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    sys.exit("never: " + what)


def ready():
    try:
        return send("GET", "/readyz")[0] == 200
    except OSError:
        return False


def write(file, text):
    open(file, "w").write(text)
    return file


# The sandbox bank's book beside the log, on PostgreSQL too, where the version can: who asks it later gets the answer of then.
book = ["--sandbox-file", "sandbox.db"] if "--sandbox-file" in subprocess.run([binary, "serve", "--help"], capture_output=True, text=True).stdout else []


def serve(*flags):
    started = subprocess.Popen(
        [binary, "serve", "--listen", listen, "--db", db, "--master-key-file", "master.key", "--callback-allow", "127.0.0.0/8", "--callback-gap", "100ms",
         "--callback-attempts", "2", "--sandbox-delay", "50ms", "--payin-expiry", "2s", "--gateway-wait", "2s", "--rate-limit", "0", *flags],
        stdout=subprocess.DEVNULL, stderr=open("server.log", "a"))
    atexit.register(started.kill)
    until("the server is ready", ready)
    return started


def stop(server):
    server.send_signal(signal.SIGTERM)
    if server.wait(60):
        sys.exit("the server stopped with %d" % server.returncode)


server = serve("--sandbox", *book)

# Merchants, keys, operators.
m = ledger("merchant", "create", "--name", "Shop", "--service", "payin", "--service", "payout", "--ip", "127.0.0.1/32",
           "--callback-url", "http://127.0.0.1:9/callback", "--callback-allow", "127.0.0.0/8")
merchant, key = m["merchant_id"], m["api_key"]
other = ledger("merchant", "create", "--name", "Other", "--service", "payout")["merchant_id"]
second = ledger("merchant", "add-key", other)
ledger("merchant", "revoke-key", other, second["key_id"])
ledger("merchant", "rotate-key", other)
ledger("merchant", "allow-ip", other, "203.0.113.0/24")
ledger("merchant", "set-callback", other, "https://shop.example/cb")
ledger("merchant", "set-plan", other, write("plan.json", json.dumps(
    {"id": "dear", "version": 2, "currency": "INR", "payin": {"min": "300", "commission": {"percent": "2"}},
     "payout": {"min": "1000", "max": "200000", "commission": {"flat": "12"}}})))
ledger("merchant", "suspend", other, "--reason", "seen")
ledger("merchant", "resume", other, "--reason", "cleared")
operator = ledger("operator", "create", "--name", "Asha", "--role", "owner")
ledger("operator", "revoke", ledger("operator", "create", "--name", "Ravi", "--role", "checker")["operator_id"], "--reason", "left")
ledger("wallet", "adjust", "--merchant", merchant, "--amount", "50000.00", "--reason", "opening balance")
ledger("wallet", "adjust", "--merchant", merchant, "--amount=-5.00", "--reason", "correction")
until("the key is honoured", lambda: send("GET", "/api/v1/wallet/balance", X_Api_Key=key)[0] == 200)


# Payins: paid, paid twice, paid wrongly, failed, expired.
def payin(amount, order, *outcomes):
    p = call("POST", "/api/v1/payin/create", {"order_id": order, "amount": amount, "customer_phone": "9876543210", "customer_name": "Asha Rao"}, X_Api_Key=key)["data"]
    for outcome, paid in outcomes:
        call("POST", "/sandbox/upi/pay", dict({"intent_url": p["intent_url"], "outcome": outcome}, **({"amount": paid} if paid else {})))
    return p


def status(p, wanted):
    until(p["order_id"] + " is " + wanted, lambda: call("GET", "/api/v1/payin/status/" + p["txn_ref"], X_Api_Key=key)["data"]["status"] == wanted)


expiring = payin(300, "ORDER-EXPIRED")
paid = payin(1000, "ORDER-1", ("success", None), ("success", None))
status(paid, "success")
payin(2000, "ORDER-2", ("success", "1500"))
status(payin(400, "ORDER-3", ("failure", None)), "failed")
entries = until("two are in suspense", lambda: (lambda s: len(s) == 2 and s)(ledger("suspense", "list")["suspense"]))
for e in entries:
    ledger("suspense", "credit" if e["amount"] == "1500.00" else "refund", e["id"], "--reason", "looked at")


# Payouts of every kind of bank.
def payout(digits, ref):
    return call("POST", "/api/v1/services/payout/process", {
        "mobile_no": "9876543210", "beneficiary_name": "Rahul Sharma", "account_no": "1234567890" + digits, "ifsc": "SBIN0001234",
        "bank_name": "State Bank of India", "amount": 1000, "transfer_type": "5", "partner_request_id": ref}, X_Api_Key=key)["data"]["transaction"]["transaction_id"]


payouts = {d: payout(d, "PAYOUT-" + d) for d in ["99", "01", "02", "03", "05", "07", "08", "09"]}
resolved = payout("08", "PAYOUT-RESOLVED")
until("it is submitted", lambda: "payout.submitted" in json.dumps(ledger("replay", resolved, "--json")))
ledger("payout", "resolve", resolved, "--outcome", "paid", "--utr", "612345678901", "--evidence", write("bank.txt", "paid\n"), "--actor", "asha", "--second-actor", "ravi")


def settled():
    b = call("GET", "/api/v1/wallet/balance", X_Api_Key=key)["data"]
    return b["locked_balance"] == 1010  # PAYOUT-08, for which the bank never answers


until("all but one payout has ended", settled)

if knows("batch submit"):
    lines = "mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,partner_request_id\n"

    def csv(prefix, *digits):
        return write(prefix + ".csv", lines + "".join(
            "9876543210,Asha Verma,1234567890%s,HDFC0001234,HDFC Bank,1000,5,%s-%d\n" % (d, prefix, i) for i, d in enumerate(digits)))

    def ended(batch, *statuses):
        until("the batch has ended", lambda: ledger("batch", "status", batch, "--json", client=key)["status"] in statuses)

    def submit(*args):
        return ledger("batch", "submit", *args, "--json", client=key)["batch_id"]

    first = submit(csv("PLAIN", "99", "02", "99"))
    ended(first, "completed", "partially_completed", "completed_with_failures", "failed")
    ledger("batch", "retry-failed", first, client=key)
    ended(submit(csv("ATOMIC", "99", "99"), "--mode", "atomic"), "completed")
    queued = submit(csv("QUEUED", *["99"] * 60), "--queue")
    until("it waits for money", lambda: "batch.queued" in json.dumps(ledger("replay", queued, "--json")))
    ledger("merchant", "cancel-batch", merchant, queued, "--reason", "too much")
    ledger("merchant", "set-approval", merchant, write("rule.json", '{"bands":[{"checkers":1}]}'))
    maker = ledger("merchant", "add-key", merchant, "--role", "maker")["api_key"]
    checker = ledger("merchant", "add-key", merchant, "--role", "checker")["api_key"]
    until("the new key is honoured", lambda: send("GET", "/api/v1/wallet/balance", X_Api_Key=checker)[0] == 200)
    for prefix, verb in ("APPROVED", "approve"), ("REJECTED", "reject"), ("CANCELLED", "cancel"):
        b = ledger("batch", "submit", csv(prefix, "99"), "--json", client=maker)["batch_id"]
        ledger("batch", verb, b, *([] if verb == "approve" else ["--reason", "no"]), client=checker)
        ended(b, "completed", "rejected", "cancelled")
    until("all but one payout has ended", settled)

if knows("dispute open"):
    disputed = payin(5000, "ORDER-DISPUTED", ("success", None))
    status(disputed, "success")
    on = disputed["transaction_id"]
    d = ledger("dispute", "open", on, "--phase", "retrieval", "--no-hold", "--reason", "asks", "--respond-by", "2030-04-07", "--amount", "1000")["id"]
    ledger("dispute", "escalate", d, "--phase", "chargeback", "--reason", "not as described", "--respond-by", "2030-05-07")
    ledger("dispute", "evidence", d, "--kind", "billing_proof", "--note", "the bill", "--submitted")
    ledger("dispute", "lose", d, "--reason", "no proof", "--amount", "600", "--fee", "50")
    ledger("dispute", "reverse", d, "--reason", "arbitration won")
    d = ledger("dispute", "open", on, "--phase", "chargeback", "--reason", "fraud", "--respond-by", "2030-04-07", "--amount", "500")["id"]
    ledger("dispute", "close", d, "--reason", "withdrawn")
    d = ledger("dispute", "open", on, "--phase", "chargeback", "--reason", "fraud", "--respond-by", "2030-04-07", "--amount", "700")["id"]
    ledger("dispute", "win", d, "--reason", "delivered")
    ledger("dispute", "pack", on, "-o", "pack.zip", "--unmasked", "--reason", "an audit", "--actor", "asha")

if knows("audit close"):
    ledger("audit", "close", "2026-03", "--actor", "asha")
    ledger("audit", "reopen", "2026-03", "--reason", "a bill", "--actor", "asha", "--second-actor", "ravi")
    ledger("audit", "close", "2026-Q1", "--actor", "asha")

if knows("reconcile import"):
    write("bank.csv", """Tran Date,CHQNO,PARTICULARS,DR,CR,BAL,SOL
,,OPENING BALANCE,,,5000.00,
01-04-2024,,IMPS/P2A/612345678901/RAVI/HDFCBANK/X123/PAYOUT,1000.00,,4000.00,123
02-04-2024,,IMPS/P2A/612345678902/RAVI/HDFCBANK/X123/PAYOUT,2100.00,,1900.00,123
03-04-2024,,CASH DEPOSIT BY RAVI KUMAR,,177.00,2077.00,123
,,CLOSING BALANCE,,,2077.00,
""")
    ledger("reconcile", "import", "bank.csv", "--source", "hdfc", "--kind", "bank", "--account", "0012", "--books", "gateway:sandbox:float", "--actor", "asha")
    ledger("reconcile", "source", "hdfc", "--kind", "bank", "--account", "0012", "--books", "gateway:sandbox:float", "--late", "2")
    ledger("reconcile", "run", "--actor", "asha")
    breaks = ledger("reconcile", "breaks", "--format", "json")["breaks"]
    breaks = [b for b in breaks if b["kind"] in ("missing_in_ledger", "amount")]
    one, two = [b["id"] for b in breaks][:2]
    ledger("reconcile", "assign", one, "--owner", "meera", "--actor", "asha")
    ledger("reconcile", "settle", one, "--reason", "seen", "--to", "suspense", "--actor", "asha")
    ledger("reconcile", "reject", one, "--reason", "whose?", "--actor", "ravi")
    ledger("reconcile", "settle", two, "--reason", "right", "--to", "suspense", "--actor", "asha", "--second-actor", "ravi")
    ledger("reconcile", "show", one, "--narration", "--reason", "an audit", "--actor", "asha")

if knows("app create"):  # refunds came with it
    refunded = payin(900, "ORDER-REFUNDED", ("success", None))
    status(refunded, "success")
    ledger("payin", "refund", refunded["transaction_id"], "--reason", "returned", "--amount", "400")
    until("it is refunded", lambda: "success" in json.dumps(ledger("payin", "refunds", refunded["transaction_id"], "--format", "json")))


# A checkout: the page, the gateway's page, and back, as a customer who pays.
def form(page):
    action = re.search(r'<form[^>]*action="([^"]+)"', page).group(1)
    fields = {html.unescape(k): html.unescape(v) for k, v in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page)}
    return urllib.parse.urljoin(base, html.unescape(action)), fields


def post(address, fields):
    return send("POST", address, urllib.parse.urlencode(fields), Content_Type="application/x-www-form-urlencoded")[1]


def checkout(link):
    until("the checkout page is there", lambda: send("GET", link)[0] == 200)
    there = post(*form(post(link + "/pay", {"method": "NET BANKING"})))
    address, fields = form(there)
    fields["method"] = re.search(r'<input type="radio" name="method" value="([^"]+)" data-kind="netbanking"', there).group(1)
    fields.update(bank="HDFC", action="pay")
    post(*form(post(address, fields)))


app = {}
if knows("app create"):
    app = ledger("app", "create", "--name", "Kirana & Sons", "--domain", "https://shop.example", "--currency", "INR", "--currency", "USD")
    g = ledger("app", "gateway", "add", app["app_id"], "razorpay")
    a, config = app["app_id"], g["gateway_config_id"]
    account = call("POST", "/sandbox/razorpay/accounts", {"webhook_url": g["webhook_url"]})
    ledger("app", "gateway", "credentials", a, config, "--set", "key_id=" + account["key_id"], "--set", "key_secret=@" + write("key", account["key_secret"] + "\n"))
    ledger("app", "gateway", "webhook", a, config, "--secret", "@" + write("webhook", account["webhook_secret"] + "\n"))
    ledger("app", "gateway", "package", a, config)
    checkout(ledger("app", "gateway", "trial", a, config, "--amount", "1.00", "--currency", "INR")["checkout_url"])
    until("the trial is over", lambda: [g for g in ledger("app", "gateway", "list", a)["gateways"] if g["steps"]["package"] == "verified"])
    ledger("app", "gateway", "security", a, config)
    ledger("app", "gateway", "enable", a, config)
    pair = {"accessKey": app["access_key"], "secretKey": app["secret_key"]}
    token = "Bearer " + call("POST", "/v1/auth/generate-token/" + a, pair)["result"]["accessToken"]
    until("the gateway is known", lambda: call("GET", "/v1/c_WkmEe23LeI/payment-methods", Authorization=token)["result"])
    for reference, pays in ("ORDER-1", True), ("ORDER-OPEN", False):
        signature = call("POST", "/v1/auth/generate-signature/" + a, pair)["result"]
        tx = call("POST", "/v1/transaction/initiate", {"currencyId": "c_WkmEe23LeI", "paymentMethodId": "pm_Mk55VGvFm", "amount": 345.67, "referenceNumber": reference}, x_signature=signature)["result"]["pe_txnId"]
        link = call("POST", "/v1/transaction/process", x_signature=signature)["result"]["checkoutUrl"]
        if pays:
            checkout(link)
            until("it is paid", lambda: call("GET", "/v1/transaction/txnId/" + tx, Authorization=token)["result"]["status"] == "SUCCESS")
            app["transaction"] = tx

# A merchant of whom something is under way when the server stops: whoever opens the store goes on with it. And keys that are claimed, with what was answered.
busy = {}
if knows("proof checkpoint"):  # as old as what follows, or older
    b = ledger("merchant", "create", "--name", "Busy", "--service", "payout", "--ip", "127.0.0.1/32", "--callback-url", "http://127.0.0.1:9/callback", "--callback-allow", "127.0.0.0/8")
    ledger("wallet", "adjust", "--merchant", b["merchant_id"], "--amount", "20000.00", "--reason", "opening balance")
    maker = ledger("merchant", "add-key", b["merchant_id"], "--role", "maker")["api_key"]
    checker = ledger("merchant", "add-key", b["merchant_id"], "--role", "checker")["api_key"]
    until("the keys are honoured", lambda: send("GET", "/api/v1/wallet/balance", X_Api_Key=checker)[0] == 200 and send("GET", "/api/v1/wallet/balance", X_Api_Key=b["api_key"])[0] == 200)

    def claimed(name, digits):
        body = json.dumps({"mobile_no": "9876543210", "beneficiary_name": "Rahul Sharma", "account_no": "1234567890" + digits, "ifsc": "SBIN0001234",
                           "bank_name": "State Bank of India", "amount": 1000, "transfer_type": "5", "partner_request_id": name})
        answer = json.loads(send("POST", "/api/v1/services/payout/process", body, X_Api_Key=b["api_key"], Idempotency_Key=name, Content_Type="application/json")[1])
        return {"key": name, "body": body, "transaction": answer["data"]["transaction"]["transaction_id"]}

    busy = dict(b, checker_key=checker, claims=[claimed("CLAIM-PAID", "99"), claimed("CLAIM-REFUSED", "02")])
    busy["batch"] = ledger("batch", "submit", write("APPROVE.csv", lines + "".join("9876543210,Asha Verma,123456789099,HDFC0001234,HDFC Bank,1000,5,APPROVE-%d\n" % i for i in range(3))), "--json", client=maker)["batch_id"]
    on = payin(5000, "ORDER-OPEN-DISPUTE", ("success", None))
    status(on, "success")
    busy["dispute"] = ledger("dispute", "open", on["transaction_id"], "--phase", "chargeback", "--reason", "fraud", "--respond-by", "2099-04-07", "--amount", "500")["id"]
    write("ledger.pub", json.dumps(ledger("proof", "key")) if isinstance(ledger("proof", "key"), dict) else ledger("proof", "key"))
    ledger("proof", "checkpoint", "-o", "golden.checkpoint")
    ledger("proof", "include", paid["transaction_id"], "-o", "txn.proof")
    ledger("dispute", "pack", on["transaction_id"], "-o", "pack.zip", "--unmasked", "--reason", "an audit", "--actor", "asha")

status(expiring, "expired")
balance = call("GET", "/api/v1/wallet/balance", X_Api_Key=key)["data"]
stop(server)
if busy:
    server = serve("--no-sandbox", "--sandbox-url", "http://127.0.0.1:9", "--sandbox-secret", "of a bank that nobody reaches")  # a bank that nobody reaches
    busy["under_way"] = claimed("CLAIM-UNDER-WAY", "99")
    stop(server)
verdict = ledger("verify", "--json")
assert verdict["ok"], verdict

facts = {"merchant_id": merchant, "api_key": key, "operator_key": operator["api_key"], "available": "%.2f" % balance["balance"], "locked": "%.2f" % balance["locked_balance"],
         "taken": "PAYOUT-99", "payout": payouts["99"], "payin": paid["transaction_id"], "app": app, "busy": busy}
if busy and "payout.succeeded" in json.dumps(ledger("replay", busy["under_way"]["transaction"], "--json")):
    sys.exit("what was to be under way has ended")
if url:
    dump = subprocess.run(["pg_dump", "--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges", url], capture_output=True, check=True, text=True).stdout
    # What psql alone reads, and what belongs to this server.
    dump = "".join(l for l in dump.splitlines(True) if not l.startswith("\\") and not l.startswith("SET transaction_timeout"))
    write("dump.sql", dump)
    rows = subprocess.run(["psql", "-At", "-F", " ", url, "-c", "SELECT type, count(*) FROM events GROUP BY 1 ORDER BY 1"], capture_output=True, check=True, text=True).stdout.split("\n")
    heads = subprocess.run(["psql", "-At", "-F", " ", url, "-c", "SELECT partition, seq, encode(hash, 'hex') FROM heads ORDER BY 1"], capture_output=True, check=True, text=True).stdout.split("\n")
    rows, heads = [r.split() for r in rows if r], [h.split() for h in heads if h]
    files = ["dump.sql"]
else:
    for file in os.listdir("."):
        if file.endswith(".db"):
            with sqlite3.connect(file) as c:
                c.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with sqlite3.connect("ledger.db") as c:
        rows = c.execute("SELECT type, count(*) FROM events GROUP BY 1 ORDER BY 1").fetchall()
        heads = c.execute("SELECT partition, seq, lower(hex(hash)) FROM heads ORDER BY 1").fetchall()
    files = [f for f in ("ledger.db", "ledger-secrets.db", "ledger-views.db", "ledger-work.db", "sandbox.db")]
facts["events"] = {t: int(n) for t, n in rows}
facts["heads"] = [{"partition": int(p), "seq": int(s), "hash": h} for p, s, h in heads]
write("facts.json", json.dumps(facts, indent=1))
files += ["facts.json", "master.key"] + (["sandbox.db"] if os.path.exists("sandbox.db") and url else [])
files += [f for f in ("ledger.pub", "golden.checkpoint", "txn.proof", "pack.zip") if busy]
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    for file in files:
        tar.add(file)
target = os.path.join(here, "%s.%s.tar.gz" % (name, "postgres" if url else "sqlite"))
with open(target, "wb") as f, gzip.GzipFile("", "wb", 9, f, 0) as z:
    z.write(packed.getvalue())
print(target, os.path.getsize(target), "bytes,", sum(facts["events"].values()), "records of", len(facts["events"]), "types")
