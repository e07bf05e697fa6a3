// Package statement writes statements of accounts as people and programs read them: CSV, XLSX, PDF and JSON. It is given the account and its
// lines by the projections, and adds everything up once more while it writes: what it ends without an error adds up.
//
//	opening balance + credits - debits = closing balance
//
// (or debits less credits, for assets). A line behind which another balance stands ends the writing with
// ErrUnbalanced, which names the line. What was written until then is no statement: who writes to a file removes it.
//
// CSV, XLSX and JSON are written in constant memory. A PDF is made in memory, so its lines are bounded: ErrTooLong.
//
// # CSV
//
// Every row has the same columns. The first tells what the row is: about (what the statement is of, and what it stands on), opening, line,
// closing, and for a merchant locked and owed. Times are as RFC 3339 has them, in the zone of the statement. Empty debits and credits are nothing.
//
// # XLSX
//
// The sheet Statement has the columns of the CSV, with amounts as numbers and times as dates; the sheet About has the rest. A sheet has
// 1,048,576 rows at most: beyond it the writing ends with an error.
//
// # PDF
//
// A4. Its fonts are those that every reader has, in which only Western European letters can be written: others are shown as a question mark.
// The file is the only format with this limit.
package statement
