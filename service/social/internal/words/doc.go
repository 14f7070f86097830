// Package words says what users are found by: texts are folded, so that they are equal where only case, width or accents differ, and
// a word that is searched for finds every text in which something begins with it.
//
// In scripts that put spaces between words, something begins where a word does. In those that do not (Chinese, Japanese, Thai and
// some more) and in Korean, whose words have endings and compounds, it begins with every character, so that any part of a name is found.
package words
