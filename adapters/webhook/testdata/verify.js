// The document's Node sample, in a server: callbacks are answered by the code of the section "Verify Signature", word for word.
const crypto = require('crypto');
const http = require('http');

function callback(req, res) {
const sig = req.headers[
'x-klyropay-signature'
];
const expected = crypto
.createHmac('sha256', 'YOUR_API_KEY')
.update(JSON.stringify(req.body))
.digest('hex');
if (!crypto.timingSafeEqual(
Buffer.from(expected),
Buffer.from(sig)
)) {
return res.status(401).send('Unauthorized');
}
res.status(200).json({ status: 'ok' });
}

// What the sample needs of Express.
const server = http.createServer((req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    res.status = (code) => { res.statusCode = code; return res; };
    res.send = (text) => res.end(text);
    res.json = (value) => { res.setHeader('Content-Type', 'application/json'); res.end(JSON.stringify(value)); };
    try {
      req.body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
      if (req.url === '/reencode') return res.end(JSON.stringify(req.body));
      callback(req, res);
    } catch (e) {
      res.status(400).send(String(e));
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume(); // it ends with the test
