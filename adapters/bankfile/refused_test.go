package bankfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/bankfile"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// csvMap reads "day,amount,text", and what more a test needs.
const csvMap = `columns: {date: day, amount: amount, narration: text}`

func mapping(t testing.TB, text string) *bankfile.Mapping {
	t.Helper()
	m, err := bankfile.ParseMapping([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func readText(text string, format bankfile.Format, o bankfile.Options) (reconcile.Statement, error) {
	return bankfile.Read(strings.NewReader(text), format, o)
}

func TestRefusedCSV(t *testing.T) {
	const head = "day,amount,text\n"
	for name, c := range map[string]struct {
		mapping, file string
		line          int
		want          string
	}{
		"not a number":        {csvMap, head + "01/04/2024,NaN,x\n", 2, "amount: is not an amount"},
		"infinite":            {csvMap, head + "01/04/2024,Infinity,x\n", 2, "is not an amount"},
		"exponent":            {csvMap, head + "01/04/2024,1e9,x\n", 2, "is not an amount"},
		"hexadecimal":         {csvMap, head + "01/04/2024,0x10,x\n", 2, "is not an amount"},
		"digits elsewhere":    {csvMap, head + "01/04/2024,١٢,x\n", 2, "is not an amount"},
		"three decimals":      {csvMap, head + "01/04/2024,1.00,x\n01/04/2024,1.001,x\n", 3, "more than two decimals"},
		"zeros for decimals":  {csvMap, head + "01/04/2024,1.000,x\n", 2, "more than two decimals"},
		"two signs":           {csvMap, head + "01/04/2024,-1.00 Dr,x\n", 2, "two signs"},
		"minus minus":         {csvMap, head + "01/04/2024,--1.00,x\n", 2, "is not an amount"},
		"too large":           {csvMap, head + "01/04/2024,9999999999999999,x\n", 2, "too large"},
		"grouping":            {csvMap, head + "01/04/2024,\"1,0000.00\",x\n", 2, "grouped"},
		"grouping, mixed":     {csvMap, head + "01/04/2024,\"1,00,000,000.00\",x\n", 2, "grouped"},
		"date":                {csvMap, head + "31/02/2024,1.00,x\n", 2, "day: is not a date"},
		"month first":         {csvMap, head + "04/31/2024,1.00,x\n", 2, "day: is not a date"},
		"blank date":          {csvMap, head + ",1.00,x\n", 2, "day: is not a date"},
		"blank amount":        {csvMap, head + "01/04/2024,,x\n", 2, "amount: is blank"},
		"columns too few":     {csvMap, head + "01/04/2024,1.00\n", 2, "has 2 columns where the header has 3"},
		"columns too many":    {csvMap, head + "01/04/2024,1,00.00,x\n", 2, "must stand in quotation marks"},
		"header twice":        {csvMap, "day,amount,text,Amount\n01/04/2024,1.00,x,2.00\n", 1, "Amount: this header stands twice, in columns 2 and 4"},
		"no lines":            {csvMap, head, 0, "the table has no lines"},
		"no header":           {csvMap, "a,b,c\n1,2,3\n", 1, `not among the columns: "a", "b", "c"`},
		"open quotation mark": {csvMap, head + "01/04/2024,1.00,\"x\n02/04/2024,1.00,y\n", 2, "quotation mark that is not closed"},
		"behind a quotation":  {csvMap, head + "01/04/2024,\"1.00\"0,x\n", 2, "column 2 has something behind its closing quotation mark"},
		"last line open":      {csvMap, head + "01/04/2024,1.00,x", 2, "no line end"},
		"zero byte":           {csvMap, head + "01/04/2024,1.00,x\x00\n", 2, "zero byte"},
		"not UTF-8":           {csvMap, head + "01/04/2024,1.00,x\n01/04/2024,1.00,\xe9\n", 3, "not UTF-8"},
		"half a surrogate":    {csvMap, "\xff\xfed\x00\n\x00\x00\xd8a\x00", 2, "half a character of UTF-16"},
		"half a unit":         {csvMap, "\xff\xfed\x00\n\x00d", 2, "within a character of UTF-16"},
		"byte not in 1252":    {csvMap + "\nencoding: windows-1252", head + "01/04/2024,1.00,\x81\n", 2, "windows-1252"},
		"damaged reference":   {"columns: {date: day, amount: amount, utr: text}", head + "01/04/2024,1.00,4.09E+11\n", 2, "text: is a number that a spreadsheet has shortened"},
		"float reference":     {"columns: {date: day, amount: amount, utr: text}", head + "01/04/2024,1.00,409212345678.0\n", 2, "shortened"},
		"direction":           {"columns: {date: day, amount: amount, direction: text}", head + "01/04/2024,1.00,X\n", 2, "text: says neither"},
		"negative, direction": {"columns: {date: day, amount: amount, direction: text}", head + "01/04/2024,-1.00,D\n", 2, "amount: is negative"},
		"both sides":          {"columns: {date: day, debit: amount, credit: text}", head + "01/04/2024,1.00,2.00\n", 2, "both have an amount"},
		"no side":             {"columns: {date: day, debit: amount, credit: text}", head + "01/04/2024,,\n", 2, "amount and text: is blank"},
		"negative debit":      {"columns: {date: day, debit: amount, credit: text}", head + "01/04/2024,-1.00,\n", 2, "amount: is negative"},
		"other currency":      {"columns: {date: day, amount: amount, currency: text}", head + "01/04/2024,1.00,INR\n01/04/2024,1.00,USD\n", 3, "text: is another currency"},
		"unknown currency":    {"columns: {date: day, amount: amount, currency: text}", head + "01/04/2024,1.00,XYZ\n", 2, "does not know"},
		"running balance":     {"columns: {date: day, amount: amount, balance: text}", head + "01/04/2024,1.00,5.00\n02/04/2024,1.00,6.00\n03/04/2024,1.00,7.01\n04/04/2024,1.00,8.01\n", 4, "text: the balance is 7.01, but with the lines before it makes 7.00"},
		"newest first":        {"columns: {date: day, amount: amount, balance: text}", head + "04/04/2024,1.00,8.00\n03/04/2024,1.00,7.00\n02/04/2024,1.50,6.00\n01/04/2024,1.00,5.00\n", 5, "the balance is 5.00"},
		"several accounts":    {"columns: {date: day, amount: amount, account: text}", head + "01/04/2024,1.00,111\n01/04/2024,1.00,222\n", 3, "text: is another account"},
		"balance columns":     {"columns: {date: day, amount: amount, opening: o, closing: c}", "day,amount,o,c\n01/04/2024,1.00,5.00,7.00\n", 2, "the opening balance and the lines make 6.00"},
		"behind the end":      {csvMap + "\nend_pattern: ^Total", head + "01/04/2024,1.00,x\nTotal,1.00,\n02/04/2024,1.00,x\n", 4, "behind the end of its table, which is line 3"},
		"count":               {csvMap + "\ncount_pattern: 'Count (\\d+)'", "Count 2\n" + head + "01/04/2024,1.00,x\n", 1, "says that it has 2 lines, and has 1"},
		"count not there":     {csvMap + "\ncount_pattern: 'Count (\\d+)'", head + "01/04/2024,1.00,x\n", 0, "count_pattern: is found nowhere"},
		"gateway's net":       {"columns: {date: day, amount: gross, debit: out, credit: in, fee: fee, tax: tax}", "day,gross,in,out,fee,tax\n01/04/2024,100.00,97.01,0,2.00,1.00\n", 2, "gross: is 100.00, which without fee 2.00 and tax 1.00 is 97.00, but the line moves 97.01"},
		"minor units":         {csvMap + "\nunit: minor", head + "01/04/2024,1.00,x\n", 2, "whole number of minor units"},
		"many columns":        {csvMap, strings.Repeat(",", 300) + "\n", 1, "not among"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := readText(c.file, bankfile.CSV, bankfile.Options{Mapping: mapping(t, c.mapping)})
			var e *bankfile.Error
			if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want line %d, %q", err, c.line, c.want)
			}
			if len(s.Lines) > 0 {
				t.Error("an error with lines")
			}
		})
	}
}

func TestUnknownColumnsAreListed(t *testing.T) {
	_, err := readText("When,What,How much\n01/04/2024,x,1.00\n", bankfile.CSV, bankfile.Options{})
	for _, want := range []string{`"When", "What", "How much"`, "--map FILE", "columns: {date:"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestRefusedMT940(t *testing.T) {
	message := func(lines ...string) string {
		return ":20:S\n:25:123456\n:28C:1\n:60F:C240331INR10,00\n" + strings.Join(lines, "\n") + "\n:62F:C240401INR11,00\n-\n"
	}
	good := message(":61:240401C1,00NTRFX")
	if _, err := readText(good, bankfile.MT940, bankfile.Options{}); err != nil {
		t.Fatal(err)
	}
	next := strings.NewReplacer("C240331INR10,00", "C240401INR12,00", "INR11,00", "INR13,00").Replace(good)
	for name, c := range map[string]struct {
		file string
		line int
		want string
	}{
		"sum":               {message(":61:240401C1,01NTRFX"), 6, "the closing balance is 11.00, but the opening balance and the lines make 11.01"},
		"direction":         {message(":61:240401X1,00NTRFX"), 5, ":61: says no direction"},
		"expected":          {message(":61:240401EC1,00NTRFX"), 5, "says no direction"},
		"date":              {message(":61:240431C1,00NTRFX"), 5, "no value date"},
		"entry date":        {message(":61:2404010230C1,00NTRFX"), 5, "no entry date"},
		"no comma":          {message(":61:240401C1NTRFX"), 5, "no amount"},
		"point":             {message(":61:240401C1.00NTRFX"), 5, "no amount"},
		"decimals":          {message(":61:240401C1,000NTRFX"), 5, "more than two decimals"},
		"kind":              {message(":61:240401C1,00"), 5, "no kind"},
		"no account":        {strings.Replace(good, ":25:123456\n", "", 1), 1, ":25: is missing"},
		"no opening":        {strings.Replace(good, ":60F:C240331INR10,00\n", "", 1), 4, "between the opening and the closing"},
		"no closing":        {strings.Replace(good, ":62F:C240401INR11,00\n", "", 1), 6, "no closing balance"},
		"two openings":      {message(":60F:C240331INR10,00"), 5, "stands twice"},
		"other currency":    {strings.Replace(good, "240401INR11", "240401USD11", 1), 6, "another currency"},
		"unknown currency":  {strings.ReplaceAll(good, "INR", "XYZ"), 4, "does not know"},
		"behind closing":    {strings.Replace(good, "-\n", ":61:240401C1,00NTRFX\n-\n", 1), 7, "between the opening and the closing"},
		"gap":               {good + next, 11, "the opening balance is 12.00, but the statement of line 1 ended with 11.00"},
		"other account":     {good + strings.Replace(good, "123456", "654321", 1), 8, "several accounts"},
		"page missing":      {strings.Replace(good, ":62F:", ":62M:", 1), 0, "another page"},
		"first page":        {strings.Replace(good, ":60F:", ":60M:", 1), 1, "first page is not in the file"},
		"mark missing":      {good + strings.TrimSuffix(strings.Replace(good, "INR10,00", "INR11,00", 1), "-\n"), 0, "hyphen"},
		"within the day":    {message(":34F:INR0,00"), 5, "MT942"},
		"MT942":             {"{1:F01X}{2:O9420600240402HDFCINBBAXXX00000000002404020600N}{4:\n" + good, 1, "MT942"},
		"many messages":     {strings.Repeat(":20:S\n:25:1\n:60F:C240331INR0,00\n:62F:C240331INR0,00\n-\n", 20001), 100001, "more than 20000 messages"},
		"no message":        {"hello\nthere\n", 0, "no message"},
		"begun again":       {":20:S\n" + good, 3, "no opening balance"},
		"tag before":        {":25:123456\n" + good, 1, "before the message's :20:"},
		"not in its blocks": {"{1:F01X}{2:O940060024}{4:\n" + good, 8, "does not end as it began"},
		"long line":         {message(":61:240401C1,00NTRFX\n:86:" + strings.Repeat("x", 5000)), 6, "more than 4096 bytes"},
		"long text":         {message(":61:240401C1,00NTRFX\n:86:x" + strings.Repeat("\n"+strings.Repeat("y", 1000), 20)), 23, ":86: has more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readText(c.file, bankfile.MT940, bankfile.Options{})
			var e *bankfile.Error
			if !errors.As(err, &e) || c.line > 0 && e.Line != c.line || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want line %d, %q", err, c.line, c.want)
			}
		})
	}
}

// camt is a document of one statement with the given content behind its account.
func camt(content string) string {
	return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Acct><Id><Othr><Id>123456</Id></Othr></Id><Ccy>INR</Ccy></Acct>` +
		content + `</Stmt></BkToCstmrStmt></Document>`
}

const booked = `<Ntry><Amt Ccy="INR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><ValDt><Dt>2024-04-01</Dt></ValDt></Ntry>`

func camtBalance(kind, amount string) string {
	return fmt.Sprintf(`<Bal><Tp><CdOrPrtry><Cd>%s</Cd></CdOrPrtry></Tp><Amt Ccy="INR">%s</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>`, kind, amount)
}

func TestRefusedCAMT(t *testing.T) {
	if s, err := readText(camt(booked), bankfile.CAMT053, bankfile.Options{}); err != nil || len(s.Lines) != 1 || s.Balanced {
		t.Fatal(s, err)
	}
	with := func(from, to string) string { return camt(strings.Replace(booked, from, to, 1)) }
	deep := strings.Repeat("<a>", 60) + strings.Repeat("</a>", 60)
	for name, c := range map[string]struct{ file, want string }{
		"sum":              {camt(camtBalance("OPBD", "1.00") + camtBalance("CLBD", "2.01") + booked), "the closing balance is 2.01, but the opening balance and the entries make 2.00"},
		"two openings":     {camt(camtBalance("OPBD", "1.00") + camtBalance("OPBD", "2.00") + booked), "another balance"},
		"amount":           {with("1.00", "1e9"), "entry 1, Amt: is not an amount"},
		"not a number":     {with("1.00", "NaN"), "entry 1, Amt: is not an amount"},
		"negative":         {with("1.00", "-0"), "entry 1, Amt: is not an amount"},
		"no amount":        {with("1.00", " "), "entry 1, Amt: is missing"},
		"decimals":         {with("1.00", "1.001"), "more than two decimals"},
		"currency":         {with(`<Amt Ccy="INR"`, `<Amt Ccy="XYZ"`), "does not know"},
		"no currency":      {with(`<Amt Ccy="INR"`, `<Amt`), "or in none"},
		"other currency":   {with(`<Amt Ccy="INR"`, `<Amt Ccy="USD"`), "another currency"},
		"side":             {with("CRDT", "C"), "CdtDbtInd: is neither"},
		"no status":        {with("<Sts>BOOK</Sts>", ""), "Sts: is missing"},
		"date":             {with("2024-04-01", "2024-02-30"), "ValDt: is not a date"},
		"no date":          {with("<ValDt><Dt>2024-04-01</Dt></ValDt>", ""), "ValDt: is missing"},
		"amount twice":     {with("<Sts>", `<Amt Ccy="INR">2.00</Amt><Sts>`), "Amt: stands twice"},
		"no account":       {strings.Replace(camt(booked), "123456", "", 1), "Acct: has neither"},
		"count":            {camt(`<TxsSummry><TtlNtries><NbOfNtries>2</NbOfNtries></TtlNtries></TxsSummry>` + booked), "another number of entries"},
		"page":             {camt(`<StmtPgntn><PgNb>1</PgNb><LastPgInd>false</LastPgInd></StmtPgntn>` + booked), "another page"},
		"version":          {strings.Replace(camt(booked), "001.08", "001.14", 1), "camt.053.001.14"},
		"other message":    {strings.Replace(camt(booked), "camt.053", "camt.052", 1), "camt.052"},
		"no namespace":     {strings.Replace(camt(booked), ` xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"`, "", 1), "namespace"},
		"inner namespace":  {with("<Ntry>", `<Ntry xmlns="urn:x">`), "another namespace"},
		"inner prefix":     {camt(`<x:Ntry xmlns:x="urn:x"></x:Ntry>`), "another namespace"},
		"doctype":          {`<!DOCTYPE Document [<!ENTITY a "1.00">]>` + camt(booked), "DOCTYPE"},
		"entity":           {with("1.00", "&a;"), "entity"},
		"depth":            {camt(deep), "deep"},
		"ends crossed":     {strings.Replace(camt(booked), "</Amt>", "</Ntry>", 1), "was not begun"},
		"two documents":    {camt(booked) + camt(booked), "behind the end"},
		"text behind":      {camt(booked) + "x", "text outside"},
		"end behind":       {camt(booked) + "</Document>", "was not begun"},
		"no statement":     {`<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"></Document>`, "no statement"},
		"no document":      {`<camt.053></camt.053>`, "no element Document"},
		"huge attribute":   {with(`<Ntry>`, `<Ntry a="`+strings.Repeat("x", 1<<20)+`">`), "more than"},
		"huge comment":     {camt(`<!--` + strings.Repeat("<>", 1<<19) + `-->`), "more than"},
		"huge text":        {with("1.00", strings.Repeat("0", 1<<20)), "more than"},
		"pieces of text":   {with("1.00", strings.Repeat("00000000<!---->", 1<<16)), "more than"},
		"encoding":         {`<?xml version="1.0" encoding="EBCDIC-US"?>` + camt(booked), "ebcdic-us"},
		"encoding, UTF-16": {`<?xml version="1.0" encoding="UTF-16"?>` + camt(booked), "not in utf-16"},
		"part's amount":    {camt(strings.Replace(booked, "</Ntry>", `<NtryDtls><TxDtls><Amt Ccy="INR">x</Amt></TxDtls><TxDtls><Amt Ccy="INR">1</Amt></TxDtls></NtryDtls></Ntry>`, 1)), "TxDtls 1, Amt: is not an amount"},
		"zero byte":        {with("1.00", "1.00\x00"), "zero byte"},
		"character":        {with("1.00", "&#0;"), "not well-formed"},
		"several accounts": {strings.Replace(camt(booked), "</Stmt>", `</Stmt><Stmt><Acct><Id><IBAN>X9</IBAN></Id></Acct>`+booked+`</Stmt>`, 1), "several accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readText(c.file, bankfile.CAMT053, bankfile.Options{})
			var e *bankfile.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestFormatsAreToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		file   string
		format bankfile.Format
		want   string
	}{
		"camt as CSV":    {camt(booked), bankfile.CSV, "this looks like camt.053; say --format camt053"},
		"camt as MT940":  {camt(booked), bankfile.MT940, "this looks like camt.053; say --format camt053"},
		"MT940 as CSV":   {":20:X\n:25:1\n", bankfile.CSV, "this looks like MT940; say --format mt940"},
		"CSV as camt":    {"a,b\n", bankfile.CAMT053, "this looks like CSV; say --format csv"},
		"workbook":       {"PK\x03\x04abc", bankfile.CSV, "save the sheet as CSV"},
		"PDF":            {"%PDF-1.4", "", "PDF"},
		"web page":       {"<html><table>", bankfile.CSV, "web page"},
		"compressed":     {"\x1f\x8b\x08", "", "gzip"},
		"nothing":        {"", bankfile.CSV, "empty"},
		"unknown":        {"hello", "", "say --format"},
		"unknown format": {"a,b\n", "mt950", "not known"},
		"within the day": {strings.Replace(camt(booked), "camt.053", "camt.052", 1), "", "camt.052"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := readText(c.file, c.format, bankfile.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
