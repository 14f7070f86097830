// Package devices is what a sync node knows of the connected devices from the logs of the service keys: whether messages
// wait for them, how many keys they have left, and that the device list of somebody changed whom their users share an
// encrypted room with.
//
// A [Node] is fed with both logs, "keys" shard by shard and "device_list", in order. As in package live, what was
// applied is stored before anybody is woken, and a reader takes positions first and looks at what came up to them then.
//
// It keeps nothing of which the databases could not tell again: what came before a device was connected is unknown, and the
// reader asks. Devices leave memory some time after their last request.
package devices
