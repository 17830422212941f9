package lint

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// lookAlikes are characters that pass for ASCII: pairs of one and what it looks like.
// From https://www.unicode.org/Public/security/latest/confusables.txt, those that
// keyboards, chats and word processors put in the place of others.
const lookAlikes = "аaеeоoрpсcуyхxіiјjѕsһhԁdԛqԝwАAВBЕEКKМMНHОOРPСCТTХXІIЈJЅSЗ3" + // Cyrillic
	"οoαaνvρpυuιiκkΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX" + // Greek
	"ıiɑaɡgℓlKK" +
	"‐-‑-‒-–-—-―-−-﹘-" + "‘'’'‚'“\"”\"„\"" + "꞉:∶:։:" + "⁄/∕/" + "․." +
	"\u00a0 \u2002 \u2003 \u2007 \u2009 \u202f \u3000 "

// looksLike returns what a character looks like, or itself.
func looksLike(r rune) rune {
	if r < 0x80 {
		return r
	}
	if r >= 0xff01 && r <= 0xff5e { // the full width forms of ASCII
		return r - 0xff01 + '!'
	}
	for rest := lookAlikes; rest != ""; {
		odd, n := utf8.DecodeRuneInString(rest)
		plain, m := utf8.DecodeRuneInString(rest[n:])
		if odd == r {
			return plain
		}
		rest = rest[n+m:]
	}
	return r
}

// asciiOf returns the text with look-alikes replaced.
func asciiOf(s string) string { return strings.Map(looksLike, s) }

// lookAlikesIn names the look-alikes in a text.
func lookAlikesIn(s string) string {
	var found []string
	for _, r := range s {
		if plain := looksLike(r); plain != r && len(found) < 4 {
			found = append(found, fmt.Sprintf("%U for %q", r, plain))
		}
	}
	return strings.Join(found, ", ")
}
