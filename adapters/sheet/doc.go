// Package sheet writes rows as spreadsheets and other programs read them: CSV and XLSX, straight through and in constant memory. It knows
// cells, not what they mean; it has no state beyond the row being written, so every adapter may use it.
//
// CSV is as RFC 4180 has it, in UTF-8 without byte order mark, with CRLF. A text that a spreadsheet would take for a formula is written with
// an apostrophe before it and in quotation marks; see Guard. Amounts are never changed by this: they are written from their value.
//
// XLSX has typed cells: amounts are numbers, times are dates, all else is text in cells of the text format. Texts stand in their cells, so
// that nothing has to be remembered: a library that can do more holds the archive in memory and its rows in a temporary file.
package sheet
