// Package checkout serves the pages on which customers pay: of KS Pay transactions, and of KlyroPay payins.
//
//	/checkout/{token}           amount, merchant, methods            GET
//	/checkout/{token}/pay       the chosen method: on to the gateway  POST
//	/checkout/{token}/return    back from the gateway                 GET, POST
//	/checkout/{token}/status    where it stands, for the page         GET
//	/pay/{txn_ref}              a KlyroPay payin: QR code and link     GET
//	/pay/{txn_ref}/status       where it stands                       GET
//
// The token is a signed ticket that names app and transaction; a txn_ref cannot be guessed. Who has either may see the amount and pay, and
// nothing else: no page shows the customer's data, a secret or another transaction.
//
// # Rules
//
//   - The pages work without script, with the keyboard, and on a phone. The script, which is ours and served from here, only asks where the payment
//     stands, and goes on by itself where a press of a button would do.
//   - Nothing is loaded from elsewhere, and nothing may be (Content-Security-Policy). Forms stay here, but for the one that goes on to the gateway.
//   - What the browser brings back counts as far as the gateway's adapter has verified it; see gateway.Checkouts.Return. The redirect to the shop
//     carries no secret and proves nothing: the shop asks the API.
//   - A page leads to the shop by a link and a refresh, not by a redirect of the gateway's form: browsers hold such redirects against the
//     policy of the page that the form was on.
package checkout
