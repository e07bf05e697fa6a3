package editlog_test

import (
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/editlog"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

func TestGeneralLedger(t *testing.T) {
	b := newBook(t)
	add := func(actor string, e books.Event) {
		data, err := books.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		b.add(books.Stream, e.Topic(), e.Type(), data, eventstore.Meta{Command: "c", Actor: actor})
	}
	march := books.Period{Name: "2026-03", Zone: "UTC", To: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)}
	add("operator:asha", &books.Closed{Number: 1, Period: march, Actor: "operator:asha"})
	add("ravi", &books.ReopenRequested{Number: 1, Name: "2026-03", Reason: "a bill", Actor: "ravi"})
	add("mina", &books.Reopened{Number: 1, Name: "2026-03", Reason: "a bill", Requested: "ravi", Actor: "mina"})
	add("mina", &books.Adjusted{
		About: "brk_1", Debit: "adjustments", Credit: "gateway:sandbox:float", Amount: inr("5"), Currency: money.INR, Reason: "bank fee", Maker: "asha", Checker: "mina",
	})
	expect(t, b.read(editlog.Options{}),
		`books.closed 2026-03 by operator:asha from command_line; closed_period: "" -> "2026-03"; closed_up_to: "" -> "2026-04-01T00:00:00Z"`,
		`books.reopen_requested 2026-03 by ravi from command_line; reopening: "" -> "asked for by ravi"; because a bill`,
		`books.reopened 2026-03 by ravi, mina from command_line; closed_period: "2026-03" -> ""; closed_up_to: "2026-04-01T00:00:00Z" -> ""; reopening: "asked for by ravi" -> ""; because a bill`,
		`books.adjusted brk_1 by asha, mina from command_line; debit_account: "" -> "adjustments"; credit_account: "" -> "gateway:sandbox:float"; because bank fee`,
	)
	expect(t, b.read(editlog.Options{Merchant: shop}))
}
