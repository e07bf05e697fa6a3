package reconciling

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of a chunk of lines.
const (
	chunkLines = 1000
	chunkBytes = 400 << 10 // of its texts, roughly: a record holds a MiB
)

// File is a file that was read whole.
type File struct {
	SHA256    string // of its bytes, hexadecimal
	Format    string
	Name      string // without its folder
	Statement *reconcile.Statement
}

// Imported is what became of a file.
type Imported struct {
	Source   string         `json:"source"`
	Import   int            `json:"import"` // number of the import
	SHA256   string         `json:"sha256"`
	Again    bool           `json:"already_imported"` // the same file was imported before: nothing has changed
	Lines    int            `json:"lines"`
	New      int            `json:"new_lines"` // that no earlier file had
	From     reconcile.Day  `json:"from,omitzero"`
	To       reconcile.Day  `json:"to,omitzero"`
	Currency money.Currency `json:"currency"`
	Opening  string         `json:"opening_balance,omitempty"`
	Closing  string         `json:"closing_balance,omitempty"`
}

// Progress is told how far something has come.
type Progress func(done, total int64)

// Import takes in a file. Everything is checked before the first line is appended; lines that an earlier file had are left out. The same file again
// changes nothing, and one whose import was broken off is gone on with.
func (s *Service) Import(ctx context.Context, name string, f File, o eventstore.Origin, tell Progress) (Imported, error) {
	st := f.Statement
	if err := checkLines(st); err != nil {
		return Imported{}, err
	}
	var out Imported
	err := s.on(ctx, name, func(src *reconcile.Source) error {
		if done, is := src.Imported(f.SHA256); is {
			out = imported(src, &done)
			out.Again = true
		}
		return nil
	})
	if err != nil || out.Again {
		return out, err
	}
	prints, err := s.prints(ctx, name, st.Lines)
	if err != nil {
		return out, err
	}
	of := fileOf(&f)
	if of.Content, err = content(st.Lines, prints); err != nil {
		return out, err
	}
	if _, err := s.decide(ctx, name, o, func(src *reconcile.Source) ([]reconcile.Event, error) {
		if _, is := src.Imported(f.SHA256); is { // by somebody else, just now
			return nil, nil
		}
		return src.Begin(of, st.Currency, o.Actor)
	}); err != nil {
		return out, err
	}
	chunks, added, err := s.chunks(ctx, name, &f, prints)
	if err != nil {
		return out, err
	}
	for n := range chunks {
		if tell != nil {
			tell(int64(n), int64(len(chunks)))
		}
		if err := s.addChunk(ctx, name, &of, n+1, chunks[n], st.Lines, o); err != nil {
			return out, err
		}
	}
	if err := s.finish(ctx, name, &of, len(chunks), added, o); err != nil {
		return out, err
	}
	err = s.on(ctx, name, func(src *reconcile.Source) error {
		done, _ := src.Imported(f.SHA256)
		out = imported(src, &done)
		return nil
	})
	return out, err
}

func fileOf(f *File) reconcile.File {
	st := f.Statement
	out := reconcile.File{
		SHA256: f.SHA256, Format: f.Format, Name: cut(printable(f.Name), reconcile.MaxText), Account: st.Account, Lines: len(st.Lines), Balanced: st.Balanced,
		Opening: money.Zero(st.Currency), Closing: money.Zero(st.Currency),
	}
	if st.Balanced {
		out.Opening, out.Closing = st.Opening, st.Closing
	}
	for i := range st.Lines {
		d := reconcile.Day{Time: st.Lines[i].Date}
		if out.From.IsZero() || d.Before(out.From.Time) {
			out.From = d
		}
		if d.After(out.To.Time) {
			out.To = d
		}
	}
	return out
}

func imported(src *reconcile.Source, i *reconcile.Import) Imported {
	out := Imported{
		Source: src.Of.Source, Import: i.Number, SHA256: i.SHA256, Lines: i.Lines, New: i.New, From: i.From, To: i.To, Currency: src.Currency,
	}
	if i.Balanced {
		out.Opening, out.Closing = i.Opening.Fixed(), i.Closing.Fixed()
	}
	return out
}

// checkLines refuses what the log could not keep, and makes references comparable.
func checkLines(st *reconcile.Statement) error {
	for i := range st.Lines {
		l := &st.Lines[i]
		l.UTR = strings.ToUpper(strings.TrimSpace(l.UTR))
		l.Narration = cut(strings.ToValidUTF8(l.Narration, "\uFFFD"), reconcile.MaxNarration)
		wrong := func(field, problem string) error {
			return domain.InvalidField(field, fmt.Sprintf("%s: line %d of the file", problem, l.Number))
		}
		switch {
		case l.Date.IsZero():
			return wrong("date", "is missing")
		case l.Amount.Currency() != st.Currency:
			return wrong("currency", fmt.Sprintf("is not %s", st.Currency))
		}
		for _, t := range []struct {
			field string
			text  *string
		}{
			{"utr", &l.UTR}, {"gateway_id", &l.Gateway}, {"reference", &l.Reference}, {"tail", &l.Tail}, {"settlement", &l.Settlement},
		} {
			*t.text = strings.TrimSpace(*t.text)
			if len(*t.text) > reconcile.MaxText || !eventstore.ValidText(*t.text) {
				return wrong(t.field, fmt.Sprintf("is no text of up to %d bytes", reconcile.MaxText))
			}
		}
		zero := money.Zero(st.Currency)
		if l.Fee.Currency() == "" {
			l.Fee = zero
		}
		if l.Tax.Currency() == "" {
			l.Tax = zero
		}
	}
	return nil
}

// printable leaves out of a file's name what would move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// cut shortens a text, between two characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// prints are the keyed hashes of narrations where nothing else tells a line from others.
func (s *Service) prints(ctx context.Context, name string, lines []reconcile.Line) ([]string, error) {
	prints := make([]string, len(lines))
	for i := range lines {
		if !lines[i].NeedsPrint() {
			continue
		}
		var err error
		text := strings.Join(strings.Fields(lines[i].Narration), " ") // another export of the statement has other blanks
		if prints[i], err = s.vault.Fingerprint(ctx, owner(name), text); err != nil {
			return nil, err
		}
	}
	return prints, nil
}

// content is a digest of lines; of their narrations, it has the prints.
func content(lines []reconcile.Line, prints []string) (string, error) {
	sum := sha256.New()
	enc := json.NewEncoder(sum)
	for i := range lines {
		l := lines[i]
		l.Narration = prints[i]
		if err := enc.Encode(&l); err != nil {
			return "", fmt.Errorf("line %d: %w", l.Number, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// owner is under whose key the narrations of a source are sealed.
func owner(name string) string { return reconcile.Stream(name) }

// chunk is some of the lines to be added.
type chunk struct {
	lines  []reconcile.Stored
	places []int // of them in the file
}

// chunks cuts what is new of a file into pieces: always the same ones, as long as no other import is finished.
func (s *Service) chunks(ctx context.Context, name string, f *File, prints []string) (chunks []chunk, added int, err error) {
	err = s.on(ctx, name, func(src *reconcile.Source) error {
		fresh, places, n := src.Fresh(f.Statement.Lines, prints)
		added = n
		size := 0
		for i := range fresh {
			l := &f.Statement.Lines[places[i]]
			bytes := len(l.Narration)*2 + len(l.UTR) + len(l.Gateway) + len(l.Reference) + len(l.Settlement) + 200
			if len(chunks) == 0 || len(chunks[len(chunks)-1].lines) == chunkLines || size+bytes > chunkBytes {
				chunks, size = append(chunks, chunk{}), 0
			}
			last := &chunks[len(chunks)-1]
			last.lines, last.places = append(last.lines, fresh[i]), append(last.places, places[i])
			size += bytes
		}
		return nil
	})
	return chunks, added, err
}

// errOther is what an import fails with when another one of the source was begun behind it.
func errOther(name string) error {
	return domain.Errorf(domain.Stale, "another import of source %s has begun meanwhile: import this file again", name)
}

// addChunk appends a chunk, unless it is there.
func (s *Service) addChunk(ctx context.Context, name string, of *reconcile.File, number int, c chunk, lines []reconcile.Line, o eventstore.Origin) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("making a command id: %w", err)
	}
	o.Command = id // the narrations are sealed for its event
	o.Evidence = nil
	sealed := ""
	_, err = s.decide(ctx, name, o, func(src *reconcile.Source) ([]reconcile.Event, error) {
		if _, done := src.Imported(of.SHA256); done {
			return nil, nil
		}
		switch open := src.Open; {
		case open == nil || !open.Same(of) || open.Chunks < number-1:
			return nil, errOther(name)
		case open.Chunks >= number:
			return nil, nil
		}
		if sealed == "" {
			if sealed, err = s.narrations(ctx, name, id, c.places, lines); err != nil {
				return nil, err
			}
		}
		return []reconcile.Event{&reconcile.LinesAdded{Of: src.Of, Import: src.Open.Number, Chunk: number, Lines: c.lines, Sealed: sealed}}, nil
	})
	return err
}

// narrations seals those of a chunk; "" when none has any.
func (s *Service) narrations(ctx context.Context, name string, id uuid.UUID, places []int, lines []reconcile.Line) (string, error) {
	texts, said := make([]string, len(places)), false
	for i, at := range places {
		texts[i] = lines[at].Narration
		said = said || texts[i] != ""
	}
	if !said {
		return "", nil
	}
	plain, err := json.Marshal(texts)
	if err != nil {
		return "", fmt.Errorf("the narrations: %w", err)
	}
	return s.vault.SealString(ctx, owner(name), id, string(plain))
}

// finish makes the lines count.
func (s *Service) finish(ctx context.Context, name string, of *reconcile.File, chunks, added int, o eventstore.Origin) error {
	o.Evidence = nil
	_, err := s.decide(ctx, name, o, func(src *reconcile.Source) ([]reconcile.Event, error) {
		if _, done := src.Imported(of.SHA256); done {
			return nil, nil
		}
		if src.Open == nil || !src.Open.Same(of) || src.Open.Chunks != chunks {
			return nil, errOther(name)
		}
		return []reconcile.Event{&reconcile.ImportFinished{Of: src.Of, Import: src.Open.Number, New: added}}, nil
	})
	return err
}
