package pack

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"
)

// Bounds of a pack.
const (
	MaxBytes = 128 << 20 // of the file
	maxFiles = 20_000
	maxName  = 120 // bytes
)

// file is one entry.
type file struct {
	name string
	body []byte
}

// Parts of the format: PKZIP's application note, sections 4.3.7, 4.3.12 and 4.3.16.
const (
	localSignature   = 0x04034b50
	centralSignature = 0x02014b50
	endSignature     = 0x06054b50
	localBytes       = 30
	centralBytes     = 46
	endBytes         = 22
	zipVersion       = 10 // what stored files need
	utf8Names        = 1 << 11
)

// archive writes files as the one zip that they can be: sorted, stored, of one time. It is written here and not by a library, so that the
// same files give the same bytes for ever.
func archive(files []file, at time.Time) ([]byte, error) {
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	size := endBytes
	for i := range files {
		size += localBytes + centralBytes + 2*len(files[i].name) + len(files[i].body)
	}
	if size > MaxBytes || len(files) > maxFiles {
		return nil, fmt.Errorf("%w: %d files of %d MiB together (at most %d, and %d MiB)", ErrTooLarge, len(files), size>>20, maxFiles, MaxBytes>>20)
	}
	day, clock := dosTime(at)
	out, central := make([]byte, 0, size), []byte(nil)
	le := binary.LittleEndian
	for i := range files {
		f := &files[i]
		var common []byte // what both headers say
		common = le.AppendUint16(common, zipVersion)
		common = le.AppendUint16(common, utf8Names)
		common = le.AppendUint16(common, zip.Store)
		common = le.AppendUint16(common, clock)
		common = le.AppendUint16(common, day)
		common = le.AppendUint32(common, crc32.ChecksumIEEE(f.body))
		common = le.AppendUint32(common, uint32(len(f.body)))
		common = le.AppendUint32(common, uint32(len(f.body)))
		common = le.AppendUint16(common, uint16(len(f.name)))
		common = le.AppendUint16(common, 0) // no extra field

		central = le.AppendUint32(central, centralSignature)
		central = le.AppendUint16(central, zipVersion)
		central = append(central, common...)
		central = append(central, make([]byte, 10)...) // no comment, disk 0, no attributes
		central = le.AppendUint32(central, uint32(len(out)))
		central = append(central, f.name...)

		out = le.AppendUint32(out, localSignature)
		out = append(out, common...)
		out = append(out, f.name...)
		out = append(out, f.body...)
	}
	start := len(out)
	out = append(out, central...)
	out = le.AppendUint32(out, endSignature)
	out = append(out, 0, 0, 0, 0) // disk 0
	out = le.AppendUint16(out, uint16(len(files)))
	out = le.AppendUint16(out, uint16(len(files)))
	out = le.AppendUint32(out, uint32(len(central)))
	out = le.AppendUint32(out, uint32(start))
	return append(out, 0, 0), nil // no comment
}

// dosTime is a time as zip has it: years from 1980, seconds by two.
func dosTime(at time.Time) (day, clock uint16) {
	at = at.UTC()
	years := min(max(at.Year()-1980, 0), 127)
	return uint16(years<<9 | int(at.Month())<<5 | at.Day()), uint16(at.Hour()<<11 | at.Minute()<<5 | at.Second()/2)
}

// ErrTooLarge means that a payment's messages are too many for one pack.
var ErrTooLarge = errors.New("the pack would be too large")

// unpack reads the files of a zip, in the order of its directory. Nothing is read that the directory does not bound: what is compressed, or larger than
// the whole, is refused before. The error is a Fault.
func unpack(b []byte) ([]file, *Fault) {
	if len(b) > MaxBytes {
		return nil, &Fault{whole, fmt.Sprintf("it has %d MiB, and a pack has %d at most", len(b)>>20, MaxBytes>>20)}
	}
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, &Fault{whole, fmt.Sprintf("it cannot be read as a zip: it is cut off, or altered at its end (%v)", err)}
	}
	if len(r.File) > maxFiles {
		return nil, &Fault{whole, fmt.Sprintf("it has %d files, and a pack has %d at most", len(r.File), maxFiles)}
	}
	files, seen := make([]file, 0, len(r.File)), map[string]bool{}
	left := uint64(len(b))
	for _, entry := range r.File {
		switch {
		case !validName(entry.Name):
			return nil, &Fault{printable(entry.Name), "no file of a pack can have this name"}
		case seen[entry.Name]:
			return nil, &Fault{entry.Name, "it is in the zip twice"}
		case entry.Method != zip.Store:
			return nil, &Fault{entry.Name, "it is compressed; the files of a pack are not"}
		case entry.UncompressedSize64 != entry.CompressedSize64 || entry.UncompressedSize64 > left:
			return nil, &Fault{entry.Name, fmt.Sprintf("the zip says that it has %d bytes, which cannot be", entry.UncompressedSize64)}
		}
		seen[entry.Name] = true
		left -= entry.UncompressedSize64
		raw, err := entry.OpenRaw()
		if err != nil {
			return nil, &Fault{entry.Name, fmt.Sprintf("it cannot be read: %v", err)}
		}
		body := make([]byte, entry.UncompressedSize64)
		if _, err := io.ReadFull(raw, body); err != nil {
			return nil, &Fault{entry.Name, fmt.Sprintf("it cannot be read: %v", err)}
		}
		files = append(files, file{entry.Name, body})
	}
	return files, nil
}

// validName allows what the names of a pack are made of: letters, digits and - _ . in up to two folders deep; nothing that leads out.
func validName(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || strings.HasPrefix(part, ".") || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
			return false
		}
	}
	return true
}

// printable is somebody else's text on one short line.
func printable(s string) string { return fmt.Sprintf("%.80q", s) }

// differs says which part of a zip is not as it is written: the file is whose header or bytes begin to differ.
func differs(got, want []byte, files []file) Fault {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	offset := 0
	for i := range files {
		end := offset + localBytes + len(files[i].name) + len(files[i].body)
		if at < end {
			return Fault{files[i].name, fmt.Sprintf("the zip is not as the ledger writes it: the entry's header differs at byte %d", at)}
		}
		offset = end
	}
	for i := range files {
		end := offset + centralBytes + len(files[i].name)
		if at < end {
			return Fault{files[i].name, fmt.Sprintf("the zip is not as the ledger writes it: the entry in its directory differs at byte %d", at)}
		}
		offset = end
	}
	return Fault{whole, fmt.Sprintf("the zip is not as the ledger writes it: its end differs at byte %d", at)}
}
