package app

import "strings"

// Nearest returns the candidate that is most like the word, or "" where none is like it. Dots, dashes and underscores
// count as equal: log_level is like log.level.
func Nearest(word string, candidates []string) string {
	word = plain(word)
	best, bestCost := "", len(word)/2+1
	for _, candidate := range candidates {
		if cost := distance(word, plain(candidate)); cost < bestCost {
			best, bestCost = candidate, cost
		}
	}
	return best
}

func plain(s string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, remove or change to make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// didYouMean ends a message about an unknown word.
func didYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return `: did you mean "` + near + `"?`
	}
	return ""
}
