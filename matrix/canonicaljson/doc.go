// Package canonicaljson turns JSON into the one encoding that Matrix signs and hashes
// (appendices, "Canonical JSON"): UTF-8 without insignificant whitespace, keys sorted by code
// point, the shortest escapes, and integers in ±(2^53-1) as the only numbers.
//
// It is strict where room version 6 and later are: a number with a fraction or an exponent is
// refused even where its value is whole, as it has no canonical form of its own and
// implementations disagree about it. Negative zero becomes 0. Where an object repeats a key, the
// last value wins, here and therefore in the hash, in the store and in every answer.
//
// Every error is a *matrix.Error: M_NOT_JSON where the text is not JSON, M_BAD_JSON where it is
// JSON that may not be used.
package canonicaljson
