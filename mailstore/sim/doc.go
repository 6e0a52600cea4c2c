// Package sim runs whole clusters of the store in one process: groups, bodies,
// state and doors on a network, disks and a clock that are simulated, under
// schedules of faults that a seed gives. It has tests and nothing else;
// DESIGN.md tells what is simulated how, and what is checked.
package sim
