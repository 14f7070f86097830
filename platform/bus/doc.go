// Package bus wakes those who wait: small messages between instances that may be lost, late or doubled.
//
// Nothing depends on a message arriving. Who follows a log is woken by the bus and asks for the log's heads besides;
// a lost message costs latency, never data. bus/memory is the bus of one process, bus/nats goes over NATS, bus/faulty
// is one that misbehaves, and bus/bustest holds the first two to one behaviour.
package bus
