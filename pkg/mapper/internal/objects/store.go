package objects

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source"
)

// Kind says what a store must know of its kind of object.
type Kind struct {
	// Name is the kind in problems and logs, such as "AccessEntry".
	Name string
	// Entry returns the mapping that an object says, without its source, from its
	// name, UID and spec alone. The ARN is the principal as written in the spec, also
	// if there is an error, which says what is wrong with it and what was expected.
	Entry func(o *Object) (e mapper.Entry, arn string, err error)
	// Reported reads a status. It may be nil.
	Reported func(status []byte) Reported
	// Changed is told what became of an object, whenever it, its status or its
	// place among the objects for the same principal may have changed. The store is
	// locked then: Changed must not block or call the store. It may be nil.
	Changed func(Verdict)
}

// Reported is what is kept of the status of an object. It decides nothing.
type Reported struct {
	Sum   uint64 // tells one content from another; what it is made of is up to the kind
	Since int64  // when it became OK or ceased to be, in seconds since 1970
	OK    bool   // whether the object is said to be in force
}

// Verdict is what became of an object.
type Verdict struct {
	Name            string
	UID             string
	ResourceVersion string
	Generation      int64

	CanonicalARN string // of the principal; "" if the spec is invalid
	Invalid      string // what is wrong with the spec; "" if it is valid
	Stands       string // the older object for the same principal; "" if there is none

	Reported Reported
}

// InForce tells whether the object lets its principal in.
func (v Verdict) InForce() bool { return v.Invalid == "" && v.Stands == "" }

// Store holds the mappings of objects. It is what a reflector fills, and keeps no
// objects. Of several objects for the same principal the oldest stands, and of
// those of the same second the one whose name is first.
type Store struct {
	kind Kind
	log  *zap.Logger

	index  *index // readers need no lock
	loaded atomic.Bool

	mu       sync.Mutex // held to change anything
	records  map[string]*record
	rivals   map[string][]*record // for a principal that has more than one, oldest first
	invalid  map[string]*record
	problems []mapper.Problem // nil: to be made
	said     string           // of the last list, in the log
}

var _ source.Store = (*Store)(nil)

// record is what is kept of an object.
type record struct {
	// What the spec says. It never changes: readers of the index have no lock.
	mapping *mapper.Mapping // nil if the spec is invalid
	key     string          // of the principal; "" if the spec is invalid
	problem *mapper.Problem // of an invalid spec
	name    string
	uid     string
	created int64 // seconds since 1970

	// What changes without the spec.
	generation int64
	version    string
	reported   Reported
}

// NewStore returns an empty store.
func NewStore(k Kind, log *zap.Logger) *Store {
	return &Store{
		kind:    k,
		log:     log,
		index:   newIndex(),
		records: map[string]*record{},
		rivals:  map[string][]*record{},
		invalid: map[string]*record{},
	}
}

// Loaded tells whether there was a list.
func (s *Store) Loaded() bool { return s.loaded.Load() }

// Lookup returns the mapping for the principal with a key, or mapper.ErrNotMapped.
func (s *Store) Lookup(key string) (*mapper.Mapping, error) {
	if r := s.index.get(key); r != nil {
		return r.mapping, nil
	}
	return nil, mapper.ErrNotMapped
}

// Verdict returns what became of an object. It is false if there is none of that
// name.
func (s *Store) Verdict(name string) (Verdict, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[name]
	if !ok {
		return Verdict{}, false
	}
	return s.verdict(r), true
}

func (s *Store) verdict(r *record) Verdict {
	v := Verdict{
		Name:            r.name,
		UID:             r.uid,
		ResourceVersion: r.version,
		Generation:      r.generation,
		Reported:        r.reported,
	}
	if r.problem != nil {
		v.Invalid = r.problem.Message
		return v
	}
	v.CanonicalARN = r.mapping.Entry().Principal.Canonical()
	if first := s.index.get(r.key); first != r {
		v.Stands = first.name
	}
	return v
}

// Status returns the number of objects in force, and what is wrong with the others.
func (s *Store) Status() (entries int, problems []mapper.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inForce(), s.listProblems()
}

// inForce returns the number of principals that are mapped, without those that a bad
// object refuses.
func (s *Store) inForce() int {
	n := s.index.size
	for _, r := range s.invalid {
		if r.key != "" && s.index.get(r.key) == r {
			n--
		}
	}
	return n
}

// listProblems returns the problems in the order of the objects' names.
func (s *Store) listProblems() []mapper.Problem {
	if s.problems != nil {
		return s.problems
	}
	list := make([]mapper.Problem, 0, len(s.invalid)+len(s.rivals))
	for _, r := range s.invalid {
		list = append(list, *r.problem)
	}
	for _, group := range s.rivals {
		for _, r := range group[1:] {
			if r.problem == nil {
				list = append(list, s.duplicate(r))
			}
		}
	}
	slices.SortFunc(list, func(a, b mapper.Problem) int { return cmp.Compare(a.Source.Section, b.Source.Section) })
	s.problems = list
	return list
}

func (s *Store) duplicate(r *record) mapper.Problem {
	return mapper.Problem{
		Source:   r.mapping.Entry().Source,
		Severity: mapper.Warning,
		Message:  fmt.Sprintf("%s %s is older, for the same principal, and stands instead; remove one of them", s.kind.Name, s.index.get(r.key).name),
	}
}

// Upsert puts an object in the place of the one with its name, or adds it.
func (s *Store) Upsert(obj any) {
	o := obj.(*Object) // the source passes on no others
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.records[o.Name]; last != nil && o.DeletionTimestamp == nil && last.uid == string(o.UID) &&
		last.generation == o.Generation && o.Generation > 0 {
		// The API server counts generations up with every change of the spec.
		s.note(last, o)
		return
	}
	s.set(o)
	switch r := s.records[o.Name]; {
	case r == nil: // being deleted
	case r.problem != nil:
		r.problem.Log(s.log)
	case s.index.get(r.key) != r:
		s.duplicate(r).Log(s.log)
	}
}

// Delete removes the object with a name.
func (s *Store) Delete(obj any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(obj.(*Object).Name)
}

// Replace makes the store hold the objects of a list and no others. It reads every
// spec, whatever its generation: after a restore of etcd the same generation may
// have come with another spec.
func (s *Store) Replace(list []any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := make(map[string]struct{}, len(list))
	for _, obj := range list {
		o := obj.(*Object)
		listed[o.Name] = struct{}{}
		s.set(o)
	}
	for name := range s.records {
		if _, ok := listed[name]; !ok {
			s.remove(name)
		}
	}
	s.loaded.Store(true)
	problems := s.listProblems()
	// A server in trouble is listed again and again.
	if said := fmt.Sprint(s.inForce(), problems); said != s.said {
		s.said = said
		mapper.LogLoad(s.log, mapper.Status{Entries: s.inForce(), Problems: problems}, problems, "")
	}
}

// set takes over what an object says.
//
// One that is being deleted is gone: whoever deleted it wants the principal out,
// and not once the last finalizer is removed.
func (s *Store) set(o *Object) {
	if o.DeletionTimestamp != nil {
		s.remove(o.Name)
		return
	}
	last, next := s.records[o.Name], s.compile(o)
	s.records[o.Name] = next
	s.put(last, next)
	s.note(next, o)
}

func (s *Store) remove(name string) {
	if r, ok := s.records[name]; ok {
		delete(s.records, name)
		s.put(r, nil)
	}
}

func (s *Store) compile(o *Object) *record {
	// Names come from the decoder on their own: no other text of the object is
	// kept alive by them.
	r := &record{name: o.Name, uid: string(o.UID), created: o.CreationTimestamp.Unix()}
	source := mapper.Source{Section: s.kind.Name + "/" + o.Name, Index: -1}
	e, arn, err := s.kind.Entry(o)
	source.ARN = shorten(arn)
	if err == nil {
		e.Source = source
		r.mapping, err = mapper.NewMapping(e)
	}
	if err == nil {
		if r.key = e.Principal.Key(); r.key != "" {
			return r
		}
		err = fmt.Errorf("names no principal")
	}
	r.mapping, r.key = nil, ""
	// Whom a bad object names, if that can be told, is refused unless a good one
	// names it too.
	if p, parseErr := iam.ParsePrincipal(arn); parseErr == nil && p.SessionName == "" {
		r.mapping = mapper.NewRefusal(mapper.Entry{Source: source, Principal: p}, shorten(err.Error()))
		r.key = p.Key()
	}
	r.problem = &mapper.Problem{Source: source, Severity: mapper.Skipped, Message: shorten(err.Error())}
	return r
}

// note takes over what changes without the spec.
func (s *Store) note(r *record, o *Object) {
	r.generation, r.version = o.Generation, o.ResourceVersion
	if s.kind.Reported != nil {
		r.reported = s.kind.Reported(o.Status)
	}
	s.tell(r)
}

func (s *Store) tell(r *record) {
	if s.kind.Changed != nil {
		s.kind.Changed(s.verdict(r))
	}
}

// put puts next in the place of last. Either may be nil.
func (s *Store) put(last, next *record) {
	s.problems = nil
	if last != nil && last.problem != nil {
		delete(s.invalid, last.name)
	}
	if next != nil && next.problem != nil {
		s.invalid[next.name] = next
	}
	if last != nil && next != nil && last.key == next.key {
		// In one step, so that the principal is never without a mapping.
		s.claim(last.key, last, next)
		return
	}
	if last != nil {
		s.claim(last.key, last, nil)
	}
	if next != nil {
		s.claim(next.key, nil, next)
	}
}

// claim puts next in the place of last, either of which may be nil, among the
// records for one principal, and has the oldest of them stand.
func (s *Store) claim(key string, last, next *record) {
	if key == "" {
		return
	}
	first := s.index.get(key)
	group, contested := s.rivals[key]
	if !contested && first != nil {
		group = []*record{first}
	}
	if last != nil {
		group = slices.DeleteFunc(group, func(r *record) bool { return r == last })
	}
	if next != nil {
		at, _ := slices.BinarySearchFunc(group, next, compareAge)
		group = slices.Insert(group, at, next)
	}
	switch {
	case len(group) > 1:
		s.rivals[key] = group
	case contested:
		delete(s.rivals, key)
	}
	if len(group) == 0 {
		s.index.remove(key)
		return
	}
	if group[0] == first {
		return
	}
	s.index.set(key, group[0])
	for _, r := range group {
		if r != next { // which note tells of
			s.tell(r)
		}
	}
}

// compareAge says which of two objects for the same principal stands: the older, but
// a bad one only if there is no good one.
func compareAge(a, b *record) int {
	bad := func(r *record) int {
		if r.problem != nil {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(bad(a), bad(b)), cmp.Compare(a.created, b.created), strings.Compare(a.name, b.name))
}

// shorten cuts what came from an object to a length that logs and conditions bear.
func shorten(s string) string {
	const most = 1024
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
