<?php
if ($_SERVER['REQUEST_URI'] === '/reencode') {
    echo json_encode(json_decode(file_get_contents('php://input'), true));
    return;
}
// The document's PHP sample, of the section "Verify Signature", word for word.
$sig = $_SERVER['HTTP_X_KLYROPAY_SIGNATURE'];
$payload = json_decode(
file_get_contents('php://input'), true
);
$expected = hash_hmac(
'sha256',
json_encode($payload),
'YOUR_API_KEY'
);
if (!hash_equals($expected, $sig)) {
http_response_code(401);
exit;
}
// Valid — process the callback
http_response_code(200);
echo json_encode(['status' => 'ok']);
