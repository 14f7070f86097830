// Package pgtest gives tests a PostgreSQL server of their own.
//
// The first call of Start in a test binary makes a cluster in a temporary directory and starts it on a free
// loopback port; every call makes a database in it. When the test binary ends, by whatever means, the server
// stops and its directory goes. PostgreSQL refuses to run as root, so that a root user's server
// runs as the user "postgres". Nothing is skipped: a machine without PostgreSQL fails the test.
package pgtest
