// Package spec lists the operations that the Matrix specification names, version 1.19: what tells an unknown path
// from one that this server does not have yet.
//
// operations.txt is made from the specification's OpenAPI files by
//
//	go test ./service/gateway/spec -update
//
// which wants them in ../shared/spec beside the repository, or where HONGYAN_SPEC says.
package spec

import (
	_ "embed" // for operations.txt
	"strings"
)

// Version is the version of the specification that operations.txt was made from.
const Version = "v1.19"

//go:embed operations.txt
var operations string

// Operation is one operation of an API.
type Operation struct {
	// API is client-server or server-server.
	API string
	// Method and Path are the HTTP method and the pattern, one {name} a segment.
	Method, Path string
	// ID is the operationId of the OpenAPI file; two operations may share a method and path, and have no id.
	ID string
	// File is the OpenAPI file without its ending.
	File string
}

// Operations returns all operations in the order of their files.
func Operations() []Operation {
	var all []Operation
	for line := range strings.Lines(operations) {
		if f := strings.Fields(line); len(f) == 5 && !strings.HasPrefix(line, "#") {
			all = append(all, Operation{API: f[0], File: f[1], ID: f[2], Method: f[3], Path: f[4]})
		}
	}
	return all
}
