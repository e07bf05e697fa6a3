// Package batchfile reads batches of payouts as people make them, and writes their results. It knows the form of a batch: columns,
// fields, numbers, what stands twice. Which values are allowed is said by ReadOptions.Check.
//
//	in := batchfile.NewCSV(body, batchfile.ReadOptions{Check: rules})
//	for item, err := range in.Items() {
//		var refused *batchfile.ItemError
//		switch {
//		case err == nil: // item is good
//		case errors.As(err, &refused): // this item is not; reading goes on
//		default: // the file is not, or cannot be read
//		}
//	}
//	report := in.Report()
//
// # What a reader guarantees
//
//   - Items have a stable index from 1: that of a JSON item in its array, of a CSV or NDJSON item among the lines that hold one. Blank
//     lines are none. An item with problems keeps its index.
//   - Memory does not grow with the file, but for about 40 bytes an item by which repeated ones are found. Fields, items and what is read
//     ahead are bounded; see Limits.
//   - Nothing is guessed: what could be read in two ways is refused, with its line and column.
//   - A file that ends with an error of its reader is never taken for a whole one.
//   - Messages never quote the values of an item: they may be logged. What is quoted is the name of an unknown column or member, and the one
//     character at which JSON is not well-formed.
//
// Text must be UTF-8. A byte order mark is skipped; UTF-16, other bytes that are not UTF-8, zero bytes and workbooks are refused with the
// line.
//
// An item that repeats the partner_request_id of an earlier one is refused, and so is one without it that is the same as an earlier one in all
// fields. Both are named.
//
// # CSV
//
// The first line that is not blank names the columns. They are mobile_no, beneficiary_name, account_no, ifsc, bank_name, amount,
// transfer_type and, if wanted, partner_request_id, in any order; case, spaces, underscores, hyphens and points do not count. A column
// that is not known, stands twice or is missing ends the reading, after all of them have been told.
//
//   - Cells are separated by commas, semicolons or tabs, as spreadsheets of different countries write them: by what the header has most of
//     outside quotation marks.
//   - Lines end with CRLF, LF or CR. A cell in quotation marks may hold line ends; quotation marks within are doubled. A quotation mark that
//     opens and does not close within Limits.Field ends the reading, since all behind it would be misread.
//   - A line whose cells are all blank is skipped. A line with more or fewer cells than the header is refused; blank cells may stand
//     behind the last column.
//   - Blanks around a value are taken off, and so is the apostrophe that marks text in a sheet ('00123 is 00123). In names and in
//     partner_request_id it is taken off only before what would be a formula: '=1 is =1, but 'Abd al-Malik stays as it is.
//   - Amounts may have ₹, Rs or INR before them, and commas between groups of digits: 1,00,000.50 and 100,000.50 are the same. Other groups
//     are refused, as are more than two decimals, zero and less. A comma is never the decimal point.
//   - Account and mobile numbers in scientific notation (1.23E+14) or with a decimal point (123456789012.0) are refused: a
//     spreadsheet has made numbers of them, and digits are lost. So are account numbers with two zeros or more behind their fifteenth digit and
//     nothing else there, unless an apostrophe marks them as text: that is how a spreadsheet shortens a number. Leading zeros are kept.
//
// # JSON and NDJSON
//
// Items have the members of a single payout's request, and no others: strings, and the amount as a number or a string of plain digits. Names
// are compared exactly and may stand once. null, "" and no member are the same. In a JSON body the options may stand before or
// behind the items. Syntax that is wrong ends the reading of a JSON body; in NDJSON it is a problem of its line.
//
// # What is written
//
// CSV is as RFC 4180 has it, in UTF-8, with CRLF. A text that a spreadsheet would take for a formula because it begins with = + - @, a tab or
// a line end (or a full-width form) is written with an apostrophe before it and in quotation marks, as OWASP advises ("CSV Injection";
// ASVS 1.2.10); so are the submitted names of columns, in which hyphens count for nothing. Readers here take that apostrophe off again. Amounts are never changed by this: they are written from their value.
//
// XLSX has typed cells: amounts are numbers with two decimals, all else is text in cells of the text format, so that it stays text when it is
// edited. It is written straight into the archive with its texts in their cells, since a library that can do more holds the
// archive in memory and its rows in a temporary file.
package batchfile
