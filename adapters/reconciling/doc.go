// Package reconciling compares the books with what gateways and banks say: it takes in their files, matches their lines with the entries of the books, and
// has people settle what does not agree. The rules are those of domain/reconcile; this package reads and appends.
//
// Everything about a source is in its stream of the log. What is decided about is the whole stream, folded; what was decided is appended only if nothing
// else was meanwhile, else it is decided again.
//
//	import:  source.imported -> source.lines ... -> source.import_finished
//	run:     source.matched ... -> source.breaks_opened ... -> source.breaks_closed ... -> source.run_finished
//	settle:  source.settlement_proposed -> source.settlement_approved -> books.adjusted, wallet.adjusted -> source.break_settled
//
// Where a process dies between two of these, nothing counts twice and nothing is lost: lines count when their import is finished, and the same file goes
// on behind its last chunk; a match stands by itself, and the next run finds the others; what was approved is posted under ids that follow from the
// break's, by whoever comes next: the same approval again, or the next run.
package reconciling
