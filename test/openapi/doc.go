// Package openapi compares what a server answers with the OpenAPI files of the Matrix specification's client-server API.
//
// They are not part of this repository: Open finds them in ../shared/spec beside it, or where HONGYAN_SPEC says, and returns
// a Checker that checks nothing where they are missing.
package openapi
