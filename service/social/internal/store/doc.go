// Package store is the SQL of the service social.
package store
