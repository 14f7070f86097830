// Package s3 keeps blobs as objects of a bucket in an object store that speaks S3.
package s3
