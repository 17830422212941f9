package access

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/internal/trial"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// static is a mapper of a document.
type static struct {
	name  string
	index *mapper.Index
	err   error
}

func (s static) Name() string { return s.name }
func (s static) Status() mapper.Status {
	return mapper.Status{Loaded: time.Unix(1, 0), Err: s.err}
}
func (s static) Lookup(id iam.Identity) (*mapper.Mapping, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.index.Lookup(id)
}
func (s static) MapsAccount(a string) (bool, error) { return s.index.MapsAccount(a), s.err }

// pick returns one of the values.
func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }

// section is a random section: few principals, so that entries meet, and every kind of
// mistake and restriction.
func section(r *rand.Rand, key string, names ...string) string {
	var b strings.Builder
	for range r.IntN(5) {
		fmt.Fprintf(&b, "- %s: %q\n", pick(r, key, key, key, "rolearn"),
			"arn:"+pick(r, "aws", "aws", "aws", "aws-cn")+":iam::"+pick(r, account, account, "111122223334")+":"+pick(r, names...))
		if r.IntN(8) > 0 {
			fmt.Fprintf(&b, "  username: %q\n", pick(r, "u", "{{SessionName}}:x", "t:{{SessionNameRaw}}", "system:node:{{EC2PrivateDNSName}}", "{{AccessKeyID}}", "corp:{{AccountID}}"))
		}
		if r.IntN(2) > 0 {
			fmt.Fprintf(&b, "  %s: %s\n", pick(r, "groups", "groups", "groups", "gruops"), pick(r, "[a, b]", `["{{SessionName}}"]`, `["system:masters"]`, "x"))
		}
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "  userid: %s\n", pick(r, "AROAGOOD", "AROAOTHER", "AIDAGOOD"))
		}
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "  sessionNamePattern: %q\n", pick(r, "alice", "s.*", "no one", "("))
		}
		if r.IntN(6) == 0 {
			b.WriteString("  requireTemporaryCredentials: true\n")
		}
	}
	if r.IntN(6) == 0 {
		fmt.Fprintf(&b, "- sso: {permissionSetName: %s, accountID: %q}\n  username: sso\n", pick(r, "Ops", "ops"), account)
	}
	return b.String()
}

func document(t *testing.T, r *rand.Rand, o mapper.ParseOptions) mapper.Document {
	parse := func(name, text string) mapper.Section {
		node, err := mapper.ParseYAML([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return mapper.ParseSection(name, node, o)
	}
	accounts := pick(r, "", "", `["111122223333"]`, `["111122223334", "111122223334", bad]`)
	return mapper.Document{
		Roles:    parse(mapper.MapRoles, section(r, "rolearn", "role/a", "role/p/A", "role/b", "user/u", "role/AWSReservedSSO_Ops_0123456789abcdef")),
		Users:    parse(mapper.MapUsers, section(r, "userarn", "user/u", "user/p/u", "role/a", "root")),
		Accounts: parse(mapper.MapAccounts, accounts),
	}
}

// randomSources returns sources, and the mappers in them without what notes anything.
func randomSources(t *testing.T, r *rand.Rand) (*Sources, []mapper.Mapper) {
	s := &Sources{partition: "aws", chain: mapper.ChainOptions{Nodes: trial.Nodes{}}}
	if r.IntN(3) == 0 {
		s.chain.ReservedPrefixes = map[string][]string{"One": {"corp:", "arn:"}, "Two": {"u"}}
	}
	var mappers []mapper.Mapper
	for _, name := range []string{"One", "Two", "Three"}[:1+r.IntN(3)] {
		strict := r.IntN(4) == 0
		doc := document(t, r, mapper.ParseOptions{UserIDStrict: strict})
		newIndex := mapper.NewIndex
		if strict {
			newIndex = mapper.NewIndexByUserID
		}
		m := static{name: name}
		var duplicates []mapper.Problem
		m.index, duplicates = newIndex(doc.Mappings(), doc.Accounts.Accounts)
		if r.IntN(12) == 0 {
			m.err = mapper.Status{}.Ready()
		}
		one := &source{Mapper: m, origin: "file", byUserID: strict}
		one.addDocument(doc)
		one.addProblems(append(doc.Problems(), duplicates...))
		s.list = append(s.list, one)
		mappers = append(mappers, m)
	}
	return s, mappers
}

func randomIdentity(t *testing.T, r *rand.Rand) iam.Identity {
	role := func(name string) iam.Identity {
		session := pick(r, "alice", "system", "s@x", "i-0123456789abcdef0")
		id, err := iam.NewIdentity("arn:aws:sts::"+account+":assumed-role/"+name+"/"+session, account, pick(r, "AROAGOOD", "AROAOTHER", "AROANEW")+":"+session, "ASIAX")
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	switch r.IntN(4) {
	case 0:
		id, err := iam.NewIdentity(arns+pick(r, "user/u", "user/p/u", "user/v"), account, "AIDAGOOD", pick(r, "AKIAX", "ASIAX"))
		if err != nil {
			t.Fatal(err)
		}
		return id
	case 1:
		return role("AWSReservedSSO_Ops_" + pick(r, "0123456789abcdef", "fedcba9876543210"))
	default:
		return role(pick(r, "a", "A", "b", "c"))
	}
}

// What is explained is what the server decides, and no step says otherwise.
func TestExplanationIsWhatTheChainDecides(t *testing.T) {
	codes := map[reason.Code]int{}
	for seed := range uint64(6_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, mappers := randomSources(t, r)
		id := randomIdentity(t, r)
		want, wantErr := mapper.NewChain(mappers, s.chain).Map(t.Context(), id)

		var e Explanation
		e.decide(t.Context(), s, id, assumption{})
		codes[e.Reason]++
		if reason.Of(e.Err()) != reason.Of(wantErr) || fmt.Sprint(e.Err()) != fmt.Sprint(wantErr) || e.Reason != reason.Of(wantErr) {
			t.Fatalf("seed %d: explained as %v, the chain says %v", seed, e.Err(), wantErr)
		}
		if wantErr == nil && (e.User == nil || e.User.Username != want.Username || !slices.Equal(e.User.Groups, want.Groups) || e.User.Source != want.Mapper) {
			t.Fatalf("seed %d: user %+v, the chain says %+v", seed, e.User, want)
		}
		if (e.User != nil) != (wantErr == nil) {
			t.Fatalf("seed %d: a user %+v with the error %v", seed, e.User, wantErr)
		}
		stops := 0
		for _, step := range e.Steps {
			if step.Result == Failed || step.Result == Open {
				stops++
			}
		}
		// A source that isn't ready stops the account mapping too, if it is there that it was asked.
		if (stops > 0) != (wantErr != nil) || stops > 2 || stops == 2 && reason.Of(wantErr) != reason.MapperNotReady {
			t.Fatalf("seed %d: it stops at %d steps, and the chain says %v: %+v", seed, stops, wantErr, e.Steps)
		}
	}
	for _, code := range []reason.Code{reason.Granted, reason.NotMapped, reason.EntryInvalid, reason.PrincipalIDMismatch, reason.SessionNameRefused,
		reason.TemporaryCredentialsRequired, reason.TemplateFailed, reason.NameReserved, reason.MapperNotReady} {
		if codes[code] < 10 {
			t.Errorf("only %d decisions for the reason %s: the test shows little", codes[code], code)
		}
	}
}

// An entry is listed as in force if and only if it is the one that decides for a caller
// that it is for.
func TestListIsWhatTheChainDecides(t *testing.T) {
	statuses := map[Status]int{}
	for seed := range uint64(2_000) {
		s, _ := randomSources(t, rand.New(rand.NewPCG(seed, 2)))
		for i, source := range s.list {
			for _, e := range source.entries {
				status, why := s.status(i, e)
				statuses[status]++
				if (status == InForce) != (why == "") {
					t.Fatalf("seed %d: %s is %s, as %q", seed, source.place(e.Source), status, why)
				}
				id, err := s.caller(e)
				noSession := errors.Is(err, trial.ErrNoSession)
				if err != nil && !noSession || e.account != "" || e.skipped != "" || id.Partition != s.partition {
					if status == InForce && e.account == "" {
						t.Fatalf("seed %d: %s is in force, and nobody is who it is for", seed, source.place(e.Source))
					}
					continue
				}
				w := s.walk(t.Context(), id)
				decides := w.entry != nil && len(w.lookups) == i+1 && sameObject(w.entry, e)
				if decides != (status == InForce || status == NeverMaps) {
					t.Fatalf("seed %d: %s is %s (%s), and decides: %t", seed, source.place(e.Source), status, why, decides)
				}
				if decides && (w.err == nil) != (status == InForce) {
					t.Fatalf("seed %d: %s is %s (%s), and the login of %s ends with %v", seed, source.place(e.Source), status, why, id.ARN, w.err)
				}
			}
		}
	}
	for _, status := range []Status{InForce, Replaced, Shadowed, NeverMatches, NeverMaps, Skipped, Unknown} {
		if statuses[status] < 20 {
			t.Errorf("only %d entries are %s: the test shows little", statuses[status], status)
		}
	}
}

// The same, with the mapper of the server reading a manifest.
func TestReadIsWhatTheMapperReads(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		sections := map[string]string{
			mapper.MapRoles: section(r, "rolearn", "role/a", "role/b"),
			mapper.MapUsers: section(r, "userarn", "user/u"),
		}
		path := write(t, "aws-auth.yaml", awsAuth(sections))
		s := read(t, options(t, &Cluster{AWSAuth: path}, config.BackendEKSConfigMap))
		if err := s.Err(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		inForce, vain := 0, map[string]bool{}
		for _, e := range s.list[0].entries {
			switch status, _ := s.status(0, e); status {
			case InForce:
				inForce++
			case NeverMatches, NeverMaps: // which the mapper counts, as it has nobody log in
				vain[e.Principal.Key()] = true
			}
		}
		if want := s.list[0].Status().Entries; inForce > want || inForce+len(vain) < want {
			t.Errorf("seed %d: %d entries in force and %d in vain, the mapper has %d", seed, inForce, len(vain), want)
		}
		again := s.List(nil)
		if !reflect.DeepEqual(again, s.List(nil)) || !slices.IsSortedFunc(again.Entries, func(a, b ListEntry) int {
			return strings.Compare(strings.ToLower(a.Principal), strings.ToLower(b.Principal))
		}) {
			t.Errorf("seed %d: the list is not sorted or not stable", seed)
		}
	}
}
