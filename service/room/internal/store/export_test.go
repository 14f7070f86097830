package store

// What the removal of expired events asks, for a look at how the databases carry it out.
const (
	DueSQL       = dueSQL
	UntoldSQL    = untoldSQL
	UnlimitedSQL = unlimitedSQL
)
