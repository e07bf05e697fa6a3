// Package bankfile reads statements of bank accounts and settlement files of gateways: CSV, MT940 and camt.053.
//
//	statement, err := bankfile.Read(file, bankfile.MT940, bankfile.Options{Account: "50200012345678"})
//
// # What a reader guarantees
//
//   - The whole statement or an error: never a part of it. An *Error names the line, and the header, tag or element.
//   - Nothing is rounded and nothing is guessed. What could be read in two ways is refused, with what to say in a mapping.
//   - What a file says of itself is checked: opening balance and lines make the closing balance; the balance behind each line follows from the one
//     before it; pages and statements follow each other; net amounts are gross amounts without charges; counts count.
//   - A file of another account or currency than was asked for is refused.
//   - Sizes are bounded: the file, its lines, fields, columns and depth, and how much is read before a table is found. Memory grows with the
//     lines that are kept, not with what stands between them.
//   - Messages never quote the values of a line, which may name people, but for balances and account numbers of the statement itself.
//
// # Files that were cut off
//
// camt.053 ends with its root element: any cut is seen. MT940 has its closing balance behind the lines of each message. In SWIFT's blocks ({4: to -})
// every cut within a message is seen; elsewhere a cut behind the closing balance is not, and loses none of the lines. Where some messages
// of a file end with a hyphen, the last must. What cannot be seen is a file of several messages that was cut between two of them, unless the next one was
// to go on with the same statement (:62M:).
//
// CSV has no mark at its end. The last line must have all columns and a line end, so that a cut within a line is seen. A cut at the end of a line
// is seen where the file states its opening and closing balance outside of the running balance, or how many lines it has (Mapping.OpeningPattern,
// ClosingPattern, CountPattern, Columns.Opening and Closing, or Options.Lines). Otherwise it cannot be: a running balance is consistent up to
// any line. Then the lines that are there are whole.
//
// # Signs
//
// A line is positive when money came into the account. MT940: C and RD are positive, D and RC negative. camt.053: CdtDbtInd is the direction of the entry
// itself, whether it reverses another (RvslInd) or not, as ISO 20022 defines it. Entries that are not booked (pending, for information) are none.
//
// An entry of camt.053 with several transactions is a line for each of them when all say their amount in the account's currency and together make
// the entry's; otherwise it is one line without their references.
//
// # References of transfers
//
// Line.UTR is taken from a column or element for it. Otherwise narration and reference fields are searched for what has the shape of one: twelve digits
// in a reference field, or in a narration that speaks of UPI, IMPS, RRN or UTR; four letters and digits, 16 characters (NEFT) or 22 (RTGS) long. Several that
// differ give none, unless a mapping says how (Mapping.UTRPattern, UTRPick).
package bankfile
