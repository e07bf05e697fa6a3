package bankfile

import "strings"

// part is an element that is read.
type part int

// The parts.
const (
	none part = iota
	messageLast
	stmtPart
	stmtPage
	stmtLast
	stmtAccount
	stmtCurrency
	stmtCount
	balancePart
	balanceKind
	balanceAmount
	balanceSide
	entryPart
	entryAmount
	entrySide
	entryStatus
	entryBooked
	entryValue
	entryBankRef
	entryText
	txPart
	txAmount
	txAmountDetail
	txSide
	txBankRef
	txOrder
	txInstruction
	txEndToEnd
	txUETR
	txID
	txClearing
	txDebtor
	txDebtorAccount
	txCreditor
	txCreditorAccount
	txRemittance
	txText
)

// element is an element of the schema that is read, or on the way to one.
type element struct {
	is     part
	name   string
	within map[string]*element
}

// camtTree has the elements of versions 02 to 13: where versions differ, all their ways are there.
func camtTree() *element {
	const stmt = "BkToCstmrStmt/Stmt"
	const bal = stmt + "/Bal"
	const ntry = stmt + "/Ntry"
	const tx = ntry + "/NtryDtls/TxDtls"
	root := &element{name: "Document"}
	for path, is := range map[string]part{
		"BkToCstmrStmt/GrpHdr/MsgPgntn/LastPgInd": messageLast,

		stmt: stmtPart, stmt + "/StmtPgntn/PgNb": stmtPage, stmt + "/StmtPgntn/LastPgInd": stmtLast,
		stmt + "/Acct/Id/IBAN": stmtAccount, stmt + "/Acct/Id/Othr/Id": stmtAccount, stmt + "/Acct/Ccy": stmtCurrency,
		stmt + "/TxsSummry/TtlNtries/NbOfNtries": stmtCount,

		bal: balancePart, bal + "/Tp/CdOrPrtry/Cd": balanceKind, bal + "/Amt": balanceAmount, bal + "/CdtDbtInd": balanceSide,

		ntry: entryPart, ntry + "/Amt": entryAmount, ntry + "/CdtDbtInd": entrySide, ntry + "/Sts": entryStatus, ntry + "/Sts/Cd": entryStatus,
		ntry + "/BookgDt/Dt": entryBooked, ntry + "/BookgDt/DtTm": entryBooked, ntry + "/ValDt/Dt": entryValue, ntry + "/ValDt/DtTm": entryValue,
		ntry + "/AcctSvcrRef": entryBankRef, ntry + "/AddtlNtryInf": entryText,

		tx: txPart, tx + "/Amt": txAmount, tx + "/AmtDtls/TxAmt/Amt": txAmountDetail, tx + "/CdtDbtInd": txSide,
		tx + "/Refs/AcctSvcrRef": txBankRef, tx + "/Refs/PmtInfId": txOrder, tx + "/Refs/InstrId": txInstruction,
		tx + "/Refs/EndToEndId": txEndToEnd, tx + "/Refs/UETR": txUETR, tx + "/Refs/TxId": txID, tx + "/Refs/ClrSysRef": txClearing,
		tx + "/RltdPties/Dbtr/Nm": txDebtor, tx + "/RltdPties/Dbtr/Pty/Nm": txDebtor,
		tx + "/RltdPties/DbtrAcct/Id/IBAN": txDebtorAccount, tx + "/RltdPties/DbtrAcct/Id/Othr/Id": txDebtorAccount,
		tx + "/RltdPties/Cdtr/Nm": txCreditor, tx + "/RltdPties/Cdtr/Pty/Nm": txCreditor,
		tx + "/RltdPties/CdtrAcct/Id/IBAN": txCreditorAccount, tx + "/RltdPties/CdtrAcct/Id/Othr/Id": txCreditorAccount,
		tx + "/RmtInf/Ustrd": txRemittance, tx + "/RmtInf/Strd/CdtrRefInf/Ref": txRemittance, tx + "/AddtlTxInf": txText,
	} {
		at := root
		for name := range strings.SplitSeq(path, "/") {
			next := at.within[name]
			if next == nil {
				next = &element{name: name}
				if at.within == nil {
					at.within = map[string]*element{}
				}
				at.within[name] = next
			}
			at = next
		}
		at.is = is
	}
	return root
}
