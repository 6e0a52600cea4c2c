// Package storetest builds a whole mail store in one process for the tests of
// the packages above it: real state, bodies, keys and doors, and groups that
// apply a proposal at once. Its faulty form can be made unavailable.
package storetest
