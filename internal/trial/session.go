package trial

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// anySession is the ID of an instance, which every entry without a pattern takes that is
// not for another kind of nodes.
const anySession = "i-0123456789abcdef0"

// Session returns a session name that the entry takes or, with ErrNoSession, one that it
// refuses.
func Session(e mapper.Entry) (string, error) {
	if e.SessionNamePattern == "" || e.Principal.Kind == iam.User || e.Principal.Kind == iam.Root {
		switch e.Node { // no pattern, or one that its entry may not have
		case mapper.FargateNode:
			return "fargate-ip-10-0-0-1.ec2.internal", nil
		case mapper.HybridNode:
			return "mi-0123456789abcdef0", nil
		default:
			return anySession, nil
		}
	}
	var names names
	if e.Principal.Kind == iam.FederatedUser {
		names.only = e.Principal.Name
	}
	for _, template := range append([]string{e.Username}, e.Groups...) {
		names.ofInstances = names.ofInstances || strings.Contains(template, "{{EC2")
	}
	parsed, err := syntax.Parse(`\A(?:`+e.SessionNamePattern+`)\z`, syntax.Perl) // as the mapper has it
	if err != nil {
		return anySession, ErrNoSession
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return anySession, ErrNoSession
	}
	if name, ok := names.match(program); ok {
		return name, nil
	}
	return anySession, ErrNoSession
}

// names are the session names that are searched.
type names struct {
	ofInstances bool
	only        string // of a federated user
}

const (
	// The characters of session names, and how many there are:
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	sessionChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@+=,"
	minSession   = 2
	maxSession   = 64

	hexDigits = "0123456789abcdef"
)

// chars returns the characters that may stand at a place, from 0.
func (n names) chars(at int) string {
	switch {
	case n.only != "":
		return n.only[min(at, len(n.only)):min(at+1, len(n.only))]
	case n.ofInstances && at < 2:
		return "i-"[at : at+1]
	case n.ofInstances:
		return hexDigits
	default:
		return sessionChars
	}
}

// mayEnd tells whether a name may have a length.
func (n names) mayEnd(length int) bool {
	switch {
	case n.only != "":
		return length == len(n.only)
	case n.ofInstances:
		return length == len("i-01234567") || length == len(anySession)
	default:
		return length >= minSession && length <= maxSession
	}
}

// What stands before or behind a place. Classes are bits.
type class uint8

const (
	edge class = 1 << iota
	word
	other
)

func classOf(c byte) class {
	if syntax.IsWordChar(rune(c)) {
		return word
	}
	return other
}

// state is where the program is before a character is read, and what it has demanded of
// its surroundings: \b and $ look at the next one.
type state struct {
	pc     uint32
	before class // the character before
	next   class // what the next one may be
}

// reached is how a state was come to.
type reached struct {
	state
	from *reached
	char byte // read on the way; 0: none
}

// maxStates bounds the search: what takes more is no pattern that people write.
const maxStates = 1 << 14

// match returns the shortest name that the program matches, if it finds one.
func (n names) match(program *syntax.Prog) (string, bool) {
	states := 0
	level := []*reached{{state: state{uint32(program.Start), edge, edge | word | other}}}
	for length := 0; length <= maxSession && len(level) > 0; length++ {
		seen := map[state]bool{}
		var next []*reached
		taken := map[state]bool{}
		for len(level) > 0 {
			r := level[len(level)-1]
			level = level[:len(level)-1]
			if seen[r.state] {
				continue
			}
			seen[r.state] = true
			if states++; states > maxStates {
				return "", false
			}
			inst := &program.Inst[r.pc]
			follow := func(pc uint32, demand class) {
				if r.next&demand != 0 {
					level = append(level, &reached{state: state{pc, r.before, r.next & demand}, from: r})
				}
			}
			switch inst.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
				follow(inst.Out, edge|word|other)
				follow(inst.Arg, edge|word|other)
			case syntax.InstCapture, syntax.InstNop:
				follow(inst.Out, edge|word|other)
			case syntax.InstEmptyWidth:
				follow(inst.Out, demands(syntax.EmptyOp(inst.Arg), r.before))
			case syntax.InstMatch:
				if r.next&edge != 0 && n.mayEnd(length) {
					return r.name(), true
				}
			case syntax.InstFail:
			default: // it reads a character
				for _, c := range []byte(n.chars(length)) {
					to := state{inst.Out, classOf(c), edge | word | other}
					if r.next&to.before != 0 && !taken[to] && inst.MatchRune(rune(c)) {
						taken[to] = true
						next = append(next, &reached{to, r, c})
					}
				}
			}
		}
		level = next
	}
	return "", false
}

// demands returns what may stand next if an assertion about a place is to hold. There
// are no lines in a session name, so that their ends are those of the text.
func demands(op syntax.EmptyOp, before class) class {
	next := edge | word | other
	if op&(syntax.EmptyBeginLine|syntax.EmptyBeginText) != 0 && before != edge {
		return 0
	}
	if op&(syntax.EmptyEndLine|syntax.EmptyEndText) != 0 {
		next &= edge
	}
	across := edge | other // behind a word character, what is none
	if before != word {
		across = word
	}
	if op&syntax.EmptyWordBoundary != 0 {
		next &= across
	}
	if op&syntax.EmptyNoWordBoundary != 0 {
		next &^= across
	}
	return next
}

// name returns what was read.
func (r *reached) name() string {
	var name []byte
	for ; r != nil; r = r.from {
		if r.char != 0 {
			name = append(name, r.char)
		}
	}
	slices.Reverse(name)
	return string(name)
}
