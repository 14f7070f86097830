// Package obs is what operators see of a process: log lines, metrics and health.
//
// Logging goes through go-zero's logx, configured once by [Setup], which also switches off what go-zero would
// otherwise do to the process on its own (kill it 5.5 s after SIGTERM, log statistics every minute); [Quiet] does only
// that, for a process that is no server. Request ids
// travel in contexts; secrets are of type [Secret] and log lines pass a filter that removes access tokens.
package obs
