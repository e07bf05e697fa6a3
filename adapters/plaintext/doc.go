// Package plaintext writes the double-entry journal as the plain-text accounting programs read it: hledger, beancount and ledger (the
// program of that name), and as CSV and JSON.
//
// # What is written
//
// One transaction for each event that moves money, made of wallet.Postings of that event and nothing else, in the order of the log:
// by time of recording where there are several partitions. Its date is the event's value date, as a day of Options.Zone; the exact
// value time and the time of recording stand beside it. What arrives late has an earlier date than what stands before it. None of the
// programs minds: beancount sorts by date itself, ledger adds up in the order of the file, hledger reads any order (its
// optional check "ordereddates", which no other check implies, is about files kept by hand, and refuses late arrivals).
//
// A period starts with one transaction of opening balances. The file ends with the balance of every account as an assertion,
// so a program that accepts the file has come to the same balances.
//
// # Names
//
// hledger and ledger get the names of accounts as they are. Beancount insists on five roots and on parts of letters, digits and hyphens that begin
// with a capital: merchant:mer_x:available is Liabilities:Merchant:Mer-x:Available there, and the account's own name stands beside
// where it is opened. Two accounts that a format would make one are told apart by a number.
//
// # Bounds
//
// Memory holds a page of each partition and the balance of each account, however long the log. Nothing that is sealed is read, and no
// text that a person wrote is copied: a transaction has ids, references of banks, amounts and times.
package plaintext
