package main

// auditCommand is for finance teams: any balance at any moment, and why.
type auditCommand struct {
	TrialBalance auditTrialBalance `cmd:"" help:"Every account's balance as of any instant, by value or recording date, and that they sum to zero."`
	Journal      auditJournal      `cmd:"" help:"The double-entry journal, for hledger, beancount, ledger, or as CSV or JSON."`
	Close        auditClose        `cmd:"" help:"Close a period: what has a value date in it is frozen, and what arrives late counts in the open one."`
	Reopen       auditReopen       `cmd:"" help:"Reopen the last period that was closed; it takes two people, and a reason."`
	Periods      auditPeriods      `cmd:"" help:"List closed periods, what came late for them, and who reopened which."`
	EditLog      auditEditLog      `cmd:"" help:"Who changed what, when, from where and why, with before and after."`
	Statement    auditStatement    `cmd:"" help:"Statement of an account: opening, lines with running balance, closing; CSV, XLSX, PDF or JSON."`
}
