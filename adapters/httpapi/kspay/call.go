package kspay

import (
	"net/http"
	"strconv"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
)

// call is one request. The goroutine that serves it owns it.
type call struct {
	api      *API
	w        http.ResponseWriter
	r        *http.Request
	x        *httpapi.Exchange
	answered bool

	app    merchant.Merchant // whose call it is, once authenticated
	key    merchant.Key      // and by which key; none of what comes with a transaction's id alone
	token  ticket.Ticket     // that it came with, if it did
	origin string            // where a customer's client calls from; "" of a server
	raw    []byte            // the body, once it is read
	broken error             // why it could not be
	arrive bool              // it was read
	body   *form             // parsed
	inWork *httpapi.Place    // nil: it has none
}

func (c *call) now() time.Time { return c.api.opts.Clock() }

// succeed writes the envelope of successes: result, and beside it what more there is, each JSON.
func (c *call) succeed(status int, result []byte, beside ...member) {
	b := make([]byte, 0, 128+2*len(result))
	b = strconv.AppendInt(append(b, `{"status":`...), int64(status), 10)
	b = append(append(b, `,"message":"success","result":`...), result...)
	for _, m := range beside {
		b = append(httpapi.AppendString(append(b, ','), m.name), ':')
		b = append(b, m.json...)
	}
	c.write(status, append(b, '}'))
}

// member is one of a JSON object.
type member struct {
	name string
	json []byte
}

func (c *call) write(status int, body []byte) {
	c.answered = true
	httpapi.Write(c.w, status, body)
}

// object writes a JSON object.
type object struct{ b []byte }

// at begins a member.
func (o *object) at(name string) []byte {
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else {
		o.b = append(o.b, ',')
	}
	return append(httpapi.AppendString(o.b, name), ':')
}

func (o *object) text(name, value string) { o.b = httpapi.AppendString(o.at(name), value) }

// option is null for "".
func (o *object) option(name, value string) { o.b = httpapi.AppendOptional(o.at(name), value) }

func (o *object) flag(name string, value bool) { o.b = strconv.AppendBool(o.at(name), value) }

// raw is JSON already.
func (o *object) raw(name string, value []byte) { o.b = append(o.at(name), value...) }

// timeLayout is how the document writes times: milliseconds, UTC.
const timeLayout = "2006-01-02T15:04:05.000Z"

func (o *object) time(name string, t time.Time) { o.text(name, t.UTC().Format(timeLayout)) }

func (o *object) end() []byte { return append(o.b, '}') }

// list joins JSON values.
func list(values [][]byte) []byte {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}
