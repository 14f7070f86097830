// Package page reads what a web page says of itself: Open Graph first, then what other sites are told, then what people see. It does no
// I/O. Pages are strangers': what it returns is bounded, clean text and addresses of http and https, whatever the page is.
package page
