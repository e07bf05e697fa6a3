package wallet

import "github.com/khata-ledger/khata/domain/books"

// Account is an account of the books, as its name tells it.
type Account = books.Account

// ParseAccount tells what an account is by its name. False for a name that no posting can have.
func ParseAccount(name string) (Account, bool) { return books.ParseAccount(name) }
