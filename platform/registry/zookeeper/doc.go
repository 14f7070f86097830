// Package zookeeper is the registry on ZooKeeper.
//
// A record is an ephemeral node PREFIX/instances/SERVICE:BOOTID that holds the instance as JSON; it lives as long as the
// session of the process that made it. All records lie in one folder, so that one watch on its children tells who comes
// and goes; a watch on each node tells of changed records.
//
// One goroutine a registry does everything: it puts the nodes where they should be, reads what has changed and hands
// lists to watchers. Watches are armed anew after each event, and everything is read again after each reconnect. A
// session that ended (or servers that lost their data) is followed by a new one, in which all nodes are put again; a node left
// over from the old one is replaced in one transaction, so that nobody sees it go. Besides, the nodes are checked once a
// session timeout: somebody may have deleted them.
//
// Errors never shorten a list: while ZooKeeper is away, watchers hear nothing, and in the first moments of a further session
// what was known before is kept, since others have to come back too.
package zookeeper
