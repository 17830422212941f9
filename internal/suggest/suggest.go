// Package suggest finds the known word that somebody who misspelt it meant.
package suggest

import "strings"

// Nearest returns the known word that is the fewest edits away from word,
// ignoring letter case. It returns "" if none is near enough to be meant: a third
// of the word's length, and at least one edit.
func Nearest(word string, known []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// DidYouMean returns `, did you mean "X"?` for the nearest known word, or "".
func DidYouMean(word string, known []string) string {
	if best := Nearest(word, known); best != "" {
		return `, did you mean "` + best + `"?`
	}
	return ""
}

// Known is DidYouMean with all known words behind it.
func Known(word string, known []string) string {
	if hint := DidYouMean(word, known); hint != "" {
		return hint + " Known are " + strings.Join(known, ", ")
	}
	return "; known are " + strings.Join(known, ", ")
}

// maxWord is the length of the longest word that anybody can have meant.
const maxWord = 64

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours count one each.
func distance(a, b string) int {
	b = b[:min(len(b), maxWord)]
	var rows [3][maxWord + 1]int
	before, previous, current := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
