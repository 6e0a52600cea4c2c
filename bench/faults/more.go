package faults

// moreKinds are the faults of disks, members and clocks.
func moreKinds() []kind { return nil }
