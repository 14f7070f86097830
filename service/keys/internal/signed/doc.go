// Package signed reads the signed JSON objects of encryption: device keys, cross-signing keys and what is uploaded to sign
// them (appendices, "Signing JSON"). It keeps an object and its signatures apart, since signatures come and go.
package signed
