package mapper

import (
	"fmt"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		var mappings []*Mapping
		add := func(e Entry, format string, i int) {
			if format != "" {
				p, err := iam.ParsePrincipal(fmt.Sprintf(format, i))
				if err != nil {
					b.Fatal(err)
				}
				e.Principal = p
			}
			e.Username = "u"
			m, err := NewMapping(e)
			if err != nil {
				b.Fatal(err)
			}
			mappings = append(mappings, m)
		}
		for i := range n {
			add(Entry{}, "arn:aws:iam::111122223333:role/r%d", i)
			add(Entry{}, "arn:aws:iam::111122223333:user/u%d", i)
			add(Entry{PermissionSet: PermissionSet{"aws", account, fmt.Sprintf("p%d", i)}}, "", i)
		}
		index, _ := NewIndex(mappings, nil)
		for _, c := range []struct {
			name string
			id   iam.Identity
			hit  bool
		}{
			{"role", session(b, fmt.Sprintf("r%d", n/2), "s"), true},
			{"user", user(b, fmt.Sprintf("u%d", n/2)), true},
			{"sso", session(b, fmt.Sprintf("AWSReservedSSO_p%d_0123456789abcdef", n/2), "s"), true},
			{"miss", session(b, "AWSReservedSSO_none_0123456789abcdef", "s"), false},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := index.Lookup(c.id); (err == nil) != c.hit {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkChainMap(b *testing.B) {
	mapping := one(b, `{rolearn: "arn:aws:iam::111122223333:role/admins", username: "admin:{{SessionName}}", groups: ["system:masters", "team:{{AccountID}}"]}`)
	chain := NewChain([]Mapper{newStatic("First", nil), newStatic("Second", []*Mapping{mapping}, account)}, ChainOptions{})
	for name, id := range map[string]iam.Identity{
		"entry":   session(b, "admins", "alice@example.com"),
		"account": user(b, "bob"),
		"miss":    identity(b, "arn:aws:iam::444455556666:user/bob", "AIDAEXAMPLE", ""),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chain.Map(b.Context(), id); (err == nil) != (name != "miss") {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	id := session(b, "admins", "alice@example.com")
	for name, text := range map[string]string{
		"literal":  "admin",
		"template": "admin:{{AccountID}}:{{SessionName}}",
	} {
		b.Run(name, func(b *testing.B) {
			t, err := compile(text)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := renderer{id: id, instance: instance{ctx: b.Context(), caller: id}}
				if _, err := r.render(t); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
