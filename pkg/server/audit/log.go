package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Stdout is the path that stands for standard output.
const Stdout = "-"

// The policies of when records are forced to the disk. A crash of the process loses
// none under any of them; a crash of the machine may lose those that were not forced.
const (
	FsyncNone     = "none"     // when the system sees fit, half a minute or so
	FsyncInterval = "interval" // once in each interval
	FsyncAlways   = "always"   // before the decision is answered
)

// Options says where the records go. Only Path is required.
type Options struct {
	// Path is the file, or Stdout.
	Path string
	// Out is standard output. Default os.Stdout.
	Out io.Writer
	// MaxSize is the size, in bytes, at which a file is put aside. Default 100 MiB.
	MaxSize int64
	// MaxAge is the age of its first record at which a file is put aside. Default 0, never.
	MaxAge time.Duration
	// MaxBackups is how many files that were put aside are kept. 0 keeps all.
	MaxBackups int
	// Compress compresses files that were put aside, with gzip.
	Compress bool
	// Fsync is when records are forced to the disk. Default FsyncInterval.
	Fsync string
	// Interval is that of FsyncInterval. Default 1 second.
	Interval time.Duration
	// Required makes Record return an error if the record could not be written.
	Required bool
	// Pseudonyms, if set, stand in the place of what names a person.
	Pseudonyms *Pseudonyms
	// Reopen, if set, says when the file was moved away. It is found out within a
	// second without.
	Reopen <-chan os.Signal
	// Log is told of trouble. Default nobody.
	Log *zap.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

const (
	// maxTurn is how long a login waits for its turn to write. It is long only if the
	// disk hangs.
	maxTurn = 500 * time.Millisecond
	// checkPeriod is how often Run looks whether the file is where it was, and whether it
	// is too old.
	checkPeriod = time.Second
	// complainPeriod is how often lasting trouble is logged.
	complainPeriod = 10 * time.Second
)

// Log writes records. It is safe for concurrent use.
type Log struct {
	options Options
	run     string        // begins the IDs of this run
	count   atomic.Uint64 // ends them
	buffers sync.Pool     // of *[]byte

	lock *flock.Flock  // of the file; nil if there is none, or not yet; changed by Run
	turn chan struct{} // has room for the one that writes
	file *file         // nil if it could not be opened; changed by Run, with the turn

	full chan struct{} // wakes Run
	done chan struct{} // wakes the archivist, who needs the lock

	records, failures atomic.Uint64
	trouble           atomic.Pointer[trouble] // of the last write; nil if it went well
	maintenance       atomic.Pointer[trouble] // of putting files aside

	mu         sync.Mutex
	complained time.Time
}

// trouble is why something does not work.
type trouble struct {
	since time.Time
	err   error
}

// New opens the file. If that fails, it is an error if records are required; else Run
// tries again each second. It is an error in any case if another Log writes to the file,
// or if another user could change it.
func New(o Options) (*Log, error) {
	o.MaxSize = cmp.Or(o.MaxSize, 100<<20)
	o.Fsync = cmp.Or(o.Fsync, FsyncInterval)
	o.Interval = cmp.Or(o.Interval, time.Second)
	if o.Out == nil {
		o.Out = os.Stdout
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	var run [8]byte
	_, _ = rand.Read(run[:]) // never fails, by its documentation
	l := &Log{
		options: o,
		run:     hex.EncodeToString(run[:]) + "-",
		turn:    make(chan struct{}, 1),
		full:    make(chan struct{}, 1),
		done:    make(chan struct{}, 1),
		buffers: sync.Pool{New: func() any { return new(make([]byte, 0, 2<<10)) }},
	}
	if o.Path == Stdout {
		l.file = &file{out: o.Out}
		return l, nil
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	l.options.Path = path
	if err = l.open(o.Now()); err == nil {
		return l, nil
	}
	if _, ok := errors.AsType[*unsafeError](err); ok {
		return nil, errors.Join(fmt.Errorf("audit file: %w", err), l.unlock())
	}
	err = fmt.Errorf("audit file: %w (its directory must be there, and writable for this user)", err)
	if o.Required {
		return nil, errors.Join(err, l.unlock())
	}
	l.failed(err)
	return l, nil
}

// open has records go to the file that is at the path now. If it can't be opened they
// go on to where they went.
func (l *Log) open(now time.Time) (err error) {
	path := l.options.Path
	if err := checkLink(path); err != nil {
		return err
	}
	if l.lock == nil {
		if l.lock, err = lock(path); err != nil {
			return err
		}
		if l.lock != nil {
			wake(l.done) // for what the last run left
		}
	}
	opened, err := open(path, now)
	if err != nil {
		return err
	}
	if opened.loose != 0 {
		l.options.Log.Warn("audit file was open to others, and is no more", zap.String("path", path), zap.String("mode", fmt.Sprintf("%04o", opened.loose)))
	}
	l.turn <- struct{}{}
	last := l.file
	l.file = opened
	<-l.turn
	if last == nil {
		return nil
	}
	return last.close(l.options.Fsync != FsyncNone)
}

func (l *Log) unlock() error {
	if l.lock == nil {
		return nil
	}
	return l.lock.Unlock()
}

// HashToken returns what stands for a token in records: half of its SHA-256, in
// hexadecimal digits. It is the same on every server. Tokens are signatures that nobody
// can guess, so nothing leads back from it.
func HashToken(token string) string {
	h := sha256.New()
	var part [512]byte
	for rest := token; rest != ""; {
		n := copy(part[:], rest)
		_, _ = h.Write(part[:n]) // never fails, by its documentation
		rest = rest[n:]
	}
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:sha256.Size/2])
}

// Record writes a record, under the version and ID that it gives it. It returns once the
// record outlives the process, or, with FsyncAlways, the machine. It returns an error
// only if the record could not be written and no decision may be answered without: in
// any other case trouble is counted, logged and shown by Healthy.
func (l *Log) Record(r Record) error {
	r.Version = Version
	r.ID = l.run + strconv.FormatUint(l.count.Add(1), 10)
	l.options.Pseudonyms.apply(&r)

	buffer := l.buffers.Get().(*[]byte)
	*buffer = r.appendTo(append((*buffer)[:0], '\n')) // the newline is for a torn line before
	err := l.write(*buffer)
	l.buffers.Put(buffer)
	if err != nil {
		l.failures.Add(1)
		l.failed(err)
		if l.options.Required {
			return fmt.Errorf("audit record: %w", err)
		}
		return nil
	}
	l.records.Add(1)
	if was := l.trouble.Load(); was != nil && l.trouble.CompareAndSwap(was, nil) {
		l.options.Log.Warn("audit records are written again", zap.Time("troubleSince", was.since), zap.Uint64("lostSinceStart", l.failures.Load()))
	}
	return nil
}

func (l *Log) write(line []byte) error {
	if err := l.takeTurn(); err != nil {
		return err
	}
	f := l.file
	if f == nil {
		<-l.turn
		return fmt.Errorf("%s could not be opened", l.options.Path)
	}
	before := f.size
	end, err := f.append(line)
	full := f.info != nil && f.size >= l.options.MaxSize && before < l.options.MaxSize
	<-l.turn
	if err != nil {
		return err
	}
	if full {
		wake(l.full)
	}
	if l.options.Fsync == FsyncAlways {
		return f.sync(end)
	}
	return nil
}

// takeTurn waits for the turn to write. A disk that hangs holds up whoever writes to it;
// all others go on without.
func (l *Log) takeTurn() error {
	select {
	case l.turn <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(maxTurn)
	defer timer.Stop()
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-timer.C:
		return fmt.Errorf("%s: the writes before took longer than %s", l.options.Path, maxTurn)
	}
}

// failed takes note of trouble with writing.
func (l *Log) failed(err error) {
	l.trouble.CompareAndSwap(nil, &trouble{l.options.Now(), err})
	l.complain("audit record could not be written", err)
}

// complain logs trouble, but not each time.
func (l *Log) complain(message string, err error) {
	now := l.options.Now()
	l.mu.Lock()
	again := now.Sub(l.complained) >= complainPeriod
	if again {
		l.complained = now
	}
	l.mu.Unlock()
	if again {
		l.options.Log.Error(message, zap.Error(err), zap.Uint64("lostSinceStart", l.failures.Load()), zap.Bool("required", l.options.Required))
	}
}

// Healthy returns why records are not written, or why the file can't be put aside or
// opened anew, or nil.
func (l *Log) Healthy() error {
	var errs []error
	if t := l.trouble.Load(); t != nil {
		errs = append(errs, fmt.Errorf("not written since %s: %w", t.since.UTC().Format(time.RFC3339), t.err))
	}
	if t := l.maintenance.Load(); t != nil {
		errs = append(errs, fmt.Errorf("it can't be put aside or opened anew since %s: %w", t.since.UTC().Format(time.RFC3339), t.err))
	}
	return errors.Join(errs...)
}

// Stats counts records since the start.
type Stats struct {
	Records uint64 // written
	Errors  uint64 // that could not be written
}

// Stats returns the present counts.
func (l *Log) Stats() Stats { return Stats{l.records.Load(), l.failures.Load()} }

// Run forces records to the disk, follows the file when it is moved away, and puts files
// aside, until ctx ends. Records may be written after that, until Close.
func (l *Log) Run(ctx context.Context) error {
	if l.options.Path == Stdout {
		<-ctx.Done()
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { l.keep(ctx); return nil })
	group.Go(func() error { l.archive(ctx); return nil })
	if l.options.Fsync == FsyncInterval {
		group.Go(func() error { l.syncEach(ctx, l.options.Interval); return nil })
	}
	return group.Wait()
}

// syncEach forces records to the disk once in each interval.
func (l *Log) syncEach(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.turn <- struct{}{}
		f := l.file
		<-l.turn
		if f == nil {
			continue
		}
		if err := f.sync(f.written.Load()); err != nil {
			l.complain("audit records could not be forced to the disk", err)
		}
	}
}

// Close forces the last records to the disk. Nothing may be written after it, and Run
// must have ended.
func (l *Log) Close() error {
	var err error
	if l.file != nil {
		err = l.file.close(l.options.Fsync != FsyncNone)
	}
	if err = errors.Join(err, l.unlock()); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	return nil
}

// wake wakes whoever waits on a channel of one place.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
