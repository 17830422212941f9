package audit

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxLine is the length of the longest line that is read, in bytes. Records have about
// a kilobyte, and more with many groups.
const maxLine = 1 << 20

// File is an open file of records, for Read to read once.
type File struct {
	Path  string
	f     *os.File
	info  fs.FileInfo
	since time.Time // of the first record, or of the last change if there is none
}

// Open opens the files at the given paths and those that were put aside from them, in
// the order of their first records. All of them are open before the first is read, so
// that none is missed or read twice while the server goes on to put files aside.
func Open(paths []string) ([]*File, error) {
	var files []*File
	for _, path := range paths {
		if err := openFamily(path, &files); err != nil {
			Close(files)
			return nil, err
		}
	}
	slices.SortStableFunc(files, func(a, b *File) int { return a.since.Compare(b.since) })
	return files, nil
}

// Close closes files.
func Close(files []*File) {
	for _, f := range files {
		_ = f.f.Close() // it was only read
	}
}

// openFamily opens a file, and before it those that were put aside from it.
func openFamily(path string, files *[]*File) error {
	current, err := openFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before := len(*files)
	dir, base := filepath.Dir(path), filepath.Base(path)
	entries, _ := os.ReadDir(dir) // a file may be readable in a directory that isn't
	names := map[string]bool{}
	for _, entry := range entries {
		names[entry.Name()] = true
	}
	for _, entry := range entries {
		suffix, ok := strings.CutPrefix(entry.Name(), base)
		// Of a file and its compressed form, the compression was interrupted at its end.
		if !ok || !isRotated(suffix) || names[entry.Name()+gzipSuffix] {
			continue
		}
		member, err := openFile(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) { // compressed just now, or deleted
			member, err = openFile(filepath.Join(dir, entry.Name()+gzipSuffix))
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			if current != nil {
				Close([]*File{current})
			}
			return err
		case current != nil && os.SameFile(member.info, current.info): // put aside just now
			Close([]*File{member})
		default:
			add(files, member)
		}
	}
	if current != nil {
		add(files, current)
	} else if len(*files) == before {
		return err
	}
	return nil
}

// add adds a file, unless it is there already.
func add(files *[]*File, f *File) {
	if slices.ContainsFunc(*files, func(other *File) bool { return os.SameFile(f.info, other.info) }) {
		Close([]*File{f})
		return
	}
	*files = append(*files, f)
}

func openFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		Close([]*File{{f: f}})
		return nil, err
	}
	opened := &File{Path: path, f: f, info: info, since: info.ModTime()}
	if !info.Mode().IsRegular() { // a pipe can be read once
		return opened, nil
	}
	if first, err := firstRecord(f); err == nil {
		opened.since = first.Time
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		Close([]*File{opened})
		return nil, err
	}
	return opened, nil
}

// Read reads what is stored, compressed or not.
func (f *File) Read(p []byte) (int, error) { return f.f.Read(p) }

// Size returns the size of the file when it was opened, in bytes. It is 0 for a pipe.
func (f *File) Size() int64 { return f.info.Size() }

// isRotated tells whether a file that was put aside has the suffix behind the name that it
// had: a time of ours, or a number or date of logrotate's.
func isRotated(suffix string) bool {
	suffix = strings.TrimSuffix(suffix, gzipSuffix)
	return len(suffix) > 1 && (suffix[0] == '.' || suffix[0] == '-') &&
		'0' <= suffix[1] && suffix[1] <= '9' && strings.Trim(suffix, "0123456789TZ.-") == ""
}

// firstRecord returns the first record that can be read.
func firstRecord(in io.Reader) (first Record, err error) {
	err = io.EOF
	found := errors.New("found")
	_ = Read(io.LimitReader(in, 2*maxLine), &Tally{}, func(_ []byte, r *Record) error {
		first, err = *r, nil
		return found
	})
	return first, err
}

// Tally counts what was read.
type Tally struct {
	Records    int64
	Unreadable int64 // lines that are no records: torn, or something else
	Torn       int64 // last lines that are no records and have no end: of a crash, or being written
	Damaged    int64 // compressed files whose end could not be read
}

// Read calls each with every record, in plain text or compressed, and the line that it
// stands in. Both are valid until each returns. Lines that are no records are counted
// and passed over. It returns the error of each or of in.
func Read(in io.Reader, tally *Tally, each func(line []byte, r *Record) error) error {
	buffered := bufio.NewReaderSize(in, 64<<10)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacker, err := gzip.NewReader(buffered)
		if err != nil {
			tally.Damaged++
			return nil //nolint:nilerr // it is counted
		}
		buffered = bufio.NewReaderSize(unpacker, 64<<10)
	}
	var long []byte // a line of more than the buffer
	tooLong := false
	for {
		part, err := buffered.ReadSlice('\n')
		line := part
		if long != nil || errors.Is(err, bufio.ErrBufferFull) {
			if tooLong = tooLong || len(long)+len(part) > maxLine; !tooLong {
				long = append(long, part...)
			} else if long == nil {
				long = []byte{}
			}
			line = long
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line = bytes.TrimSpace(line)
		switch r, ok := parse(line); {
		case len(line) == 0 && !tooLong:
		case ok && !tooLong:
			tally.Records++
			if err := each(line, &r); err != nil {
				return err
			}
		case err == nil:
			tally.Unreadable++
		default:
			tally.Torn++
		}
		long, tooLong = nil, false
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), isCorrupt(err):
			tally.Damaged++
			return nil
		case err != nil:
			return err
		}
	}
}

// parse reads a line, and tells whether it is a record.
func parse(line []byte) (r Record, ok bool) {
	err := json.Unmarshal(line, &r)
	return r, err == nil && r.Version >= 1 && !r.Time.IsZero() && r.Outcome != ""
}

// isCorrupt tells whether compressed data is damaged.
func isCorrupt(err error) bool {
	_, ok := errors.AsType[flate.CorruptInputError](err)
	return ok
}
