package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/khata-ledger/khata/adapters/pack"
)

// disputeVerify checks a dispute pack.
type disputeVerify struct {
	File      string `arg:"" help:"The pack."`
	PublicKey string `required:"" help:"What ledger proof key printed, or a file of it; a file may have several keys, each on a line. Have it from where the ledger has published it, not from the pack." placeholder:"FILE|KEY"`
	JSON      bool   `name:"json" help:"Print JSON for machines."`
}

// Run verifies. It opens no store and no connection.
func (c *disputeVerify) Run(t *terminal) error {
	keys, err := publicKeys(c.PublicKey)
	if err != nil {
		return err
	}
	file, err := readBounded(c.File, pack.MaxBytes)
	if err != nil {
		return err
	}
	v := pack.Verify(file, keys)
	if c.JSON {
		err = t.answer(v)
	} else {
		err = packVerdict(t.out, &v)
	}
	if err == nil && !v.Holds {
		err = errNo
	}
	return err
}

func packVerdict(out io.Writer, v *pack.Verdict) error {
	var b strings.Builder
	if v.Holds {
		fmt.Fprintf(&b, "VALID dispute pack of %s\n", v.Payment)
	} else {
		fmt.Fprintln(&b, "NOT VALID")
	}
	for _, f := range v.Faults {
		fmt.Fprintf(&b, "WRONG  %s: %s\n", f.Where, f.Problem)
	}
	for i, list := range [][]string{v.Proves, v.DoesNotProve} {
		if len(list) > 0 {
			fmt.Fprintf(&b, "\n%s\n", []string{"It proves:", "It does not prove:"}[i])
		}
		for _, s := range list {
			fmt.Fprintf(&b, "- %s\n", s)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
