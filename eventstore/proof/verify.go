package proof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
)

// Verdict is what Verify found in a file.
type Verdict struct {
	Kind   string   `json:"kind"` // checkpoint, inclusion or consistency; empty for a file that is none
	Holds  bool     `json:"holds"`
	Proves []string `json:"proves"` // in words; only what holds
	Faults []Fault  `json:"faults"`
}

// Fault is something that does not hold.
type Fault struct {
	Where   string `json:"where"` // line, checkpoint, record or partition
	Problem string `json:"problem"`
}

func (v *Verdict) prove(format string, args ...any) {
	v.Proves = append(v.Proves, fmt.Sprintf(format, args...))
}

func (v *Verdict) fault(where string, err error) {
	var line *LineError
	if errors.As(err, &line) && where == "" {
		v.Faults = append(v.Faults, Fault{fmt.Sprintf("line %d", line.Line), line.Problem})
		return
	}
	v.Faults = append(v.Faults, Fault{where, err.Error()})
}

// Verify checks a file that is a proof, or one or more signed checkpoints, with public keys alone.
func Verify(file []byte, keys Keys) Verdict {
	v := Verdict{Proves: []string{}, Faults: []Fault{}}
	if bytes.HasPrefix(file, []byte("{")) {
		v.json(file, keys)
	} else {
		v.checkpoints(file, keys)
	}
	v.Holds = len(v.Faults) == 0
	if !v.Holds && v.Kind != "inclusion" { // of an inclusion proof, each record stands for itself
		v.Proves = []string{}
	}
	return v
}

func (v *Verdict) json(file []byte, keys Keys) {
	var kind struct {
		Format string `json:"format"`
	}
	err := json.NewDecoder(bytes.NewReader(file)).Decode(&kind)
	switch {
	case bytes.HasPrefix(file, []byte("{\n  \"format\": \""+FormatConsistency+"\"")):
		v.consistency(file, keys)
	case err == nil && kind.Format != FormatInclusion:
		v.fault("line 2", fmt.Errorf("the format %.80q is none of this program's", kind.Format))
	default:
		v.inclusion(file, keys)
	}
}

func (v *Verdict) checkpoints(file []byte, keys Keys) {
	v.Kind = "checkpoint"
	signed, lines := SplitCheckpoints(file)
	if len(signed) == 0 {
		v.fault("line 1", errors.New("the file is empty"))
	}
	var before *Checkpoint
	for i := range signed {
		c, err := OpenCheckpoint(signed[i], keys)
		var line *LineError
		switch {
		case errors.As(err, &line):
			v.fault("", lineErrorf(line.Line+lines[i]-1, "%s", line.Problem))
			continue
		case err != nil:
			v.fault(fmt.Sprintf("checkpoint at line %d", lines[i]), err)
			continue
		}
		if before != nil {
			if err := shrunk(before, &c); err != nil {
				v.fault(fmt.Sprintf("checkpoint at line %d", lines[i]), err)
			}
		}
		v.prove("Ledger %s signed on %s that it held %s.", c.Ledger, c.At.Format(timeLayout), c.total())
		before = &c
	}
	if len(v.Faults) == 0 {
		v.prove("A checkpoint alone shows who signed it. What it says of the log is shown by inclusion and consistency proofs that lead to it.")
	}
}

// shrunk is what is wrong with a checkpoint that follows another, as far as the two alone show.
func shrunk(before, c *Checkpoint) error {
	if err := c.Extends(before); err != nil {
		return err
	}
	for p := range c.Trees {
		was, is := before.Trees[p], c.Trees[p]
		if is.Size < was.Size || is.Size == was.Size && is.Root != was.Root {
			return &PartitionError{p, fmt.Sprintf("%d records with the root %s, in the checkpoint before it %d with %s", is.Size, is.Root, was.Size, was.Root)}
		}
	}
	return nil
}

// total says how much a checkpoint covers.
func (c *Checkpoint) total() string {
	var n int64
	for _, t := range c.Trees {
		n += t.Size
	}
	return fmt.Sprintf("%s in %s", plural(n, "record"), plural(int64(len(c.Trees)), "partition"))
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// open opens a checkpoint that is part of a proof.
func (v *Verdict) open(where, signed string, keys Keys) (Checkpoint, bool) {
	c, err := OpenCheckpoint([]byte(signed), keys)
	if err != nil {
		v.fault(where, err)
	}
	return c, err == nil
}

func (v *Verdict) inclusion(file []byte, keys Keys) {
	v.Kind = "inclusion"
	var f inclusionFile
	if err := decode(file, &f); err != nil {
		v.fault("", err)
		return
	}
	if f.Format != FormatInclusion {
		v.fault("line 2", fmt.Errorf("the format %.80q is none of this program's", f.Format))
		return
	}
	c, ok := v.open("checkpoint", f.Checkpoint, keys)
	if !ok {
		return
	}
	if len(f.Records) == 0 {
		v.fault("records", errors.New("there are none"))
	}
	for i := range f.Records {
		at := eventstore.Position{Partition: f.Records[i].Record.Partition, Seq: f.Records[i].Record.Seq}
		r, err := f.Records[i].check(&c)
		if err != nil {
			v.fault("record "+at.String(), err)
			continue
		}
		v.prove("Record %s (%s of %s, recorded %s) was in ledger %s, with exactly this content and %s of these digests, when it signed on %s that partition %d held %s.",
			at, r.Type, r.Subject, r.RecordedAt.Format(microsLayout), c.Ledger, plural(int64(len(r.EvidenceDigests)), "raw message"), c.At.Format(timeLayout), r.Partition, plural(c.Trees[r.Partition].Size, "record"))
	}
	if len(v.Faults) == 0 {
		v.prove("It does not show that no other record is about the same subject.")
	}
}

func (v *Verdict) consistency(file []byte, keys Keys) {
	v.Kind = "consistency"
	var f consistencyFile
	if err := decode(file, &f); err != nil {
		v.fault("", err)
		return
	}
	older, ok := v.open("older checkpoint", f.Older, keys)
	newer, too := v.open("newer checkpoint", f.Newer, keys)
	if !ok || !too {
		return
	}
	if err := newer.Extends(&older); err != nil {
		v.fault("checkpoints", err)
		return
	}
	if len(f.Partitions) != len(newer.Trees) {
		v.fault("partitions", fmt.Errorf("%d paths for %d partitions", len(f.Partitions), len(newer.Trees)))
		return
	}
	for p := range f.Partitions {
		where := fmt.Sprintf("partition %d", p)
		path, err := hashes(f.Partitions[p])
		if err != nil {
			v.fault(where, err)
			continue
		}
		var wrong *PartitionError
		if errors.As(checkPartition(p, older.Trees[p], newer.Trees[p], path), &wrong) {
			v.fault(where, errors.New(wrong.Problem))
			continue
		}
		v.prove("Partition %d: the first %d of its %d records are those of the older checkpoint, unaltered and in their order.", p, older.Trees[p].Size, newer.Trees[p].Size)
	}
	if len(v.Faults) == 0 {
		v.prove("What ledger %s signed on %s (%s) only appends to what it signed on %s (%s).",
			newer.Ledger, newer.At.Format(timeLayout), newer.total(), older.At.Format(timeLayout), older.total())
	}
}
