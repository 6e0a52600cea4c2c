// Package lawtest holds the house law as tests: which room may import which,
// and what every package and every format brings along. It has no other code.
package lawtest
