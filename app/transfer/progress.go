package transfer

// Step is some work that was done.
type Step struct {
	// Doing is copy, fill or check.
	Doing          string
	Service, Table string
	// Rows were done since the last step.
	Rows int
}

// Progress is told what is done. It may be nil.
type Progress func(Step)

func (p Progress) step(doing, service, table string, rows int) {
	if p != nil {
		p(Step{doing, service, table, rows})
	}
}
