package plaintext

import (
	"strings"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Account is an account as a journal names it.
type Account struct {
	Name    string     // of the books
	Type    books.Type // equity for what the chart of accounts does not have
	Written string     // in the format
}

// equity is the type of an account that the chart does not have: plain-text programs want one for every account.
const equity books.Type = "equity"

// typeOf is an account's type by the chart of accounts.
func typeOf(account string) books.Type {
	if a, known := wallet.ParseAccount(account); known && a.Kind.Type() != "" {
		return a.Kind.Type()
	}
	return equity
}

// plainName is an account's name for hledger and ledger: as it is, but for what would end the name there, or begin something else.
func plainName(account string) string {
	return eachPart(account, func(part string) string {
		return strings.Map(func(c rune) rune {
			if letterOrDigit(c) || strings.ContainsRune("_-.", c) {
				return c
			}
			return '-'
		}, part)
	})
}

// beancountName is an account's name below the root of its kind.
func beancountName(account string) string {
	root := "Equity:"
	switch typeOf(account) {
	case books.Asset:
		root = "Assets:"
	case books.Liability:
		root = "Liabilities:"
	case books.Income:
		root = "Income:"
	}
	return root + eachPart(account, func(part string) string {
		part = strings.Map(func(c rune) rune {
			if letterOrDigit(c) {
				return c
			}
			return '-'
		}, part)
		switch {
		case part[0] == '-':
			return "X" + part
		case part[0] >= 'a':
			return string(part[0]-'a'+'A') + part[1:]
		}
		return part
	})
}

// eachPart changes the parts between colons, none of which is empty.
func eachPart(account string, change func(string) string) string {
	parts := strings.Split(account, ":")
	for i, part := range parts {
		if part == "" {
			part = "-"
		}
		parts[i] = change(part)
	}
	return strings.Join(parts, ":")
}

func letterOrDigit(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
