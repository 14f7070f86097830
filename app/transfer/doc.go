// Package transfer copies the databases of all services: into an archive (backup), from an archive (restore), or straight
// into others (migrate). One copier does all three: a source gives the rows of table after table, without regard to
// which database they come from, and something takes them.
//
// # What is copied
//
// All tables that the catalogues of the databases list, in one snapshot each. The snapshots are taken one right after the other,
// followers before what they follow, so that no cursor is beyond the log that it belongs to. Leases are not copied; tables that
// hold versions of schemas neither: the target's schema is made by the program's own migrations, up to the versions that
// the source had, then filled, then brought up to date. So an older archive goes into a newer program.
//
// # What is checked
//
// Of each table the rows are counted, and their encodings hashed and added up, which does not depend on their order. The same
// numbers must come out of the archive, and of the target within the transaction that fills it.
//
// # Interruption
//
// A target is marked by the table "transfer" in each service's database until everything is there, and Refuse keeps servers
// from it. Each service is filled in one transaction. A repeated run finds the mark and fills the tables anew or, if only
// the mark was left, removes it.
package transfer
