package bankfile_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/khata-ledger/khata/adapters/bankfile"
)

const many = 100_000

// bigCSV, bigMT940 and bigCAMT are statements of n lines of one rupee and one paisa each.
func bigCSV(n int) []byte {
	var b bytes.Buffer
	b.WriteString("Date,Narration,Chq./Ref.No.,Value Dt,Withdrawal Amt.,Deposit Amt.,Closing Balance\n")
	for i := range n {
		total := 101 * (i + 1)
		fmt.Fprintf(&b, "01/04/24,UPI-ASHA RAO-ASHA@OKHDFCBANK-HDFC0000123-4092%08d-ORDER %d,00004092%08d,01/04/24,,1.01,%d.%02d\n", i, i, i, total/100, total%100)
	}
	return b.Bytes()
}

func bigMT940(n int) []byte {
	var b bytes.Buffer
	b.WriteString(":20:S\n:25:50200012345678\n:28C:1\n:60F:C240331INR0,00\n")
	for i := range n {
		fmt.Fprintf(&b, ":61:2404010401C1,01NTRF4092%08d//HDFC%08d\n:86:UPI-ASHA RAO-ASHA@OKHDFCBANK-HDFC0000123-4092%08d-ORDER %d\n", i, i, i, i)
	}
	fmt.Fprintf(&b, ":62F:C240401INR%d,%02d\n-\n", 101*n/100, 101*n%100)
	return b.Bytes()
}

func bigCAMT(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Acct><Id><Othr><Id>50200012345678</Id></Othr></Id></Acct>`)
	b.WriteString(`<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="INR">0</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>`)
	fmt.Fprintf(&b, `<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="INR">%d.%02d</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>`, 101*n/100, 101*n%100)
	for i := range n {
		fmt.Fprintf(&b, `<Ntry><Amt Ccy="INR">1.01</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2024-04-01</Dt></BookgDt><ValDt><Dt>2024-04-01</Dt></ValDt><AcctSvcrRef>B%d</AcctSvcrRef><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls><Refs><EndToEndId>txn_%d</EndToEndId><TxId>4092%08d</TxId></Refs><Amt Ccy="INR">1.01</Amt><CdtDbtInd>CRDT</CdtDbtInd><RltdPties><Dbtr><Pty><Nm>Asha Rao</Nm></Pty></Dbtr><DbtrAcct><Id><Othr><Id>0012345678</Id></Othr></Id></DbtrAcct></RltdPties><RmtInf><Ustrd>Order %d</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>`+"\n", i, i, i, i)
	}
	b.WriteString(`</Stmt></BkToCstmrStmt></Document>`)
	return b.Bytes()
}

func BenchmarkRead(b *testing.B) {
	for format, file := range map[bankfile.Format][]byte{bankfile.CSV: bigCSV(many), bankfile.MT940: bigMT940(many), bankfile.CAMT053: bigCAMT(many)} {
		b.Run(string(format), func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := bankfile.Read(bytes.NewReader(file), format, bankfile.Options{})
				if err != nil || len(s.Lines) != many || !s.Balanced {
					b.Fatal(len(s.Lines), err)
				}
			}
		})
	}
}
